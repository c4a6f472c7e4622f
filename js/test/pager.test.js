/** The pager: from one answer to another, while none streams. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { COMPLETE, page, pass, ShownView, STREAMING } from "../testing/view.js";

/** @type {ShownView} */
let shown;
/** @type {HTMLElement} */
let pager;
/** @type {HTMLButtonElement} */
let earlier;
/** @type {HTMLButtonElement} */
let later;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  shown = new ShownView();
  pager = shown.root.querySelector(".nbstream-pager");
  [earlier, later] = pager.querySelectorAll("button");
});
afterEach(() => {
  shown.end();
  mock.timers.reset();
});

test("one answer alone has no pager", async () => {
  assert.equal(pager.hidden, true);
  shown.receive(page({ texts: ["One."], tail: 0, state: { ...COMPLETE, answers: [1, 1] } }));
  await pass(100);
  assert.equal(pager.hidden, true);
});

test("an earlier answer is asked for, shown in place, and has the way back", async () => {
  shown.receive(page({ texts: ["New."], tail: 0, state: { ...COMPLETE, answers: [2, 2] } }));
  await pass(100);
  assert.deepEqual([pager.hidden, pager.textContent, earlier.disabled, later.disabled], [false, "‹2 of 2›", false, true]);
  earlier.focus();
  earlier.click();
  assert.deepEqual(shown.heard("turn").map(({ answer }) => answer), [1]);
  shown.receive(page({ stream: "zero", texts: ["Old."], tail: 0, state: { ...COMPLETE, actions: [], answers: [1, 2] } }));
  await pass(100);
  assert.equal(shown.root.querySelector(".nbstream-text").textContent, "Old.");
  assert.deepEqual([pager.textContent, earlier.disabled, later.disabled], ["‹1 of 2›", true, false]);
  assert.equal(document.activeElement, later);
  later.click();
  assert.deepEqual(shown.heard("turn").map(({ answer }) => answer), [2]);
});

test("while an answer streams nobody turns away from it", async () => {
  shown.receive(page({ texts: ["New"], state: { ...STREAMING, answers: [2, 2] } }));
  await pass(100);
  assert.deepEqual([pager.hidden, earlier.disabled, later.disabled], [false, true, true]);
  shown.receive(page({ after: 0, tail: 0, state: COMPLETE }));
  await pass(100);
  assert.equal(earlier.disabled, false);
});
