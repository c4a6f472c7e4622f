import assert from "node:assert/strict";
import { test } from "node:test";

import { device } from "../src/device.js";

test("a device as usual is not worth a byte", () => {
  const navigator = { connection: { effectiveType: "4g", saveData: false }, deviceMemory: 8 };
  assert.deepEqual(device({ navigator, document: { hidden: false } }), {});
});

test("a browser that says nothing of network and memory is as usual", () => {
  assert.deepEqual(device({ navigator: {}, document: { hidden: false } }), {});
});

test("what is slow, hidden or small is told", () => {
  const navigator = { connection: { effectiveType: "2g", saveData: true }, deviceMemory: 1 };
  assert.deepEqual(device({ navigator, document: { hidden: true } }), { net: "2g", saves: true, hidden: true, memory: 1 });
});
