/** Answers about ranges of the text: every view of a widget hears all of them, and takes its own. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { COMPLETE, page, pass, ShownView } from "../testing/view.js";

/** @type {ShownView[]} */
let views;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  views = [new ShownView(), new ShownView()];
  for (const each of views) each.receive(page({ texts: ["hello"], tail: 0, state: COMPLETE }));
});
afterEach(() => {
  for (const each of views) each.end();
  mock.timers.reset();
});

/** What a promise has come to, or `open`. @param {Promise<unknown>} promise */
const now = async (promise) => {
  await pass(32);
  return Promise.race([promise, Promise.resolve("open")]);
};

test("of two views of one stream each takes the answer to its own question", async () => {
  const [a, b] = /** @type {[ShownView, ShownView]} */ (views);
  const [one, other] = [a.view.reads.text("assistant", "text", 0, 5), b.view.reads.text("assistant", "text", 5, 10)];
  const [first, second] = [a, b].map((each) => each.heard("read")[0]);
  assert.equal(first.id, second.id);
  for (const each of views) each.receive({ type: "text", view: first.view, id: first.id, stream: "one", from: 0, text: "hello" });
  assert.deepEqual([await now(one), await now(other)], ["hello", "open"]);
  for (const each of views) each.receive({ type: "text", view: second.view, id: second.id, stream: "one", from: 5, text: "world" });
  assert.equal(await now(other), "world");
});

test("a text is no answer to a search, nor the other way round", async () => {
  const [{ view }, shown] = [/** @type {ShownView} */ (views[0]), /** @type {ShownView} */ (views[0])];
  const found = view.reads.find("needle", null, false);
  const [question] = shown.heard("find");
  const about = { view: question.view, id: question.id, stream: "one" };
  shown.receive({ ...about, type: "text", from: 0, text: "hello" });
  assert.equal(await now(found), "open");
  const at = { agent: "assistant", kind: "text", at: 3 };
  shown.receive({ ...about, type: "found", at });
  assert.deepEqual(await now(found), at);
});
