/** What the bundle weighs. `npm run build` prints all figures. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const gz = (/** @type {string[]} */ ...names) => {
  const folder = new URL("../../src/nbstream/view/static/", import.meta.url);
  return names.reduce((sum, name) => sum + gzipSync(readFileSync(new URL(name, folder)), { level: 9 }).length, 0);
};

test("every widget brings at most 3.2 KB", () => {
  assert.ok(gz("widget.js") <= 3.2 * 1024, `${gz("widget.js")} bytes`);
});

test("the engine is at most 50 KB, all an answer may need at most 140 KB, and what happened to it 2 KB more", () => {
  assert.ok(gz("engine.js") <= 50 * 1024, `${gz("engine.js")} bytes`);
  const all = gz("widget.js", "widget.css", "engine.js", "find.js", "highlight.js", "math.js");
  assert.ok(all <= 140 * 1024, `${all} bytes`);
  // Only for whoever presses its button.
  assert.ok(gz("pictures.js") <= 2 * 1024, `${gz("pictures.js")} bytes`);
});
