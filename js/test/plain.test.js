/** The answer as plain text, while there is no engine. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { COMPLETE, page, pass, ShownPlain } from "../testing/view.js";

/** @type {ShownPlain} */
let shown;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  shown = new ShownPlain();
});
afterEach(() => {
  shown.end();
  mock.timers.reset();
});

const part = (kind, fields) => ({ kind, agent: "assistant", ...fields });
const receive = (after, upto, ...parts) => shown.receive({ ...page({ after, texts: Array(upto - after).fill("") }), parts });
const text = () => shown.root.querySelector(".nbstream-text").textContent;

test("text that is taken back goes, and what comes behind it joins on, also when the page comes again", () => {
  const parts = [part("text", { off: 0, text: "I 😀 was wrong" }), part("truncate", { length: 4 }), part("text", { off: 4, text: "am right" })];
  receive(-1, 1, ...parts.slice(0, 2));
  assert.equal(text(), "I 😀 ");
  receive(-1, 2, ...parts);
  assert.equal(text(), "I 😀 am right");
  assert.equal(shown.root.dataset.chars, "12");
});

test("reasoning that is taken back goes alone, and of what is not shown nothing goes", () => {
  receive(-1, 0, part("text", { off: 0, text: "Yes" }), part("reasoning", { off: 0, text: "Hm" }));
  receive(0, 1, part("truncate", { of: "reasoning", length: 0 }), part("truncate", { of: "tool_call", length: 0 }));
  assert.equal(text(), "Yes");
  assert.equal(shown.root.querySelector(".nbstream-aside").textContent, "");
});

test("only text is shown as text: what came late has a place of its own, which is not at the beginning", () => {
  receive(-1, 0, part("text", { off: 0, text: "Yes" }), part("late", { number: 3, at: 1, text: "late" }));
  assert.equal(shown.root.querySelector(".nbstream-plain").textContent, "Yes");
});

test("acks and signs of life say what they are about", async () => {
  shown.receive(page({ texts: ["a"], tail: 0 }));
  await pass(31_000, 500);
  assert.deepEqual(shown.heard("ack").map(({ stream, offset }) => [stream, offset]), [["one", 0]]);
  assert.deepEqual(shown.heard("here").map(({ stream, have }) => [stream, have]), [["one", 0]]);
});

test("a question is asked until it is answered, half a minute later at the most", async () => {
  await pass(95_000, 500);
  assert.equal(shown.heard("ask").length, 7); // now, and after 2, 6, 14, 30, 60, 90 s
  shown.receive(page({ texts: ["a"] }));
  await pass(30_000, 500);
  assert.equal(shown.heard("ask").length, 1); // a live page is no answer
  shown.receive(page({ texts: ["a"], tail: 0, state: COMPLETE }));
  await pass(60_000, 500);
  assert.deepEqual(shown.heard("ask"), []);
});
