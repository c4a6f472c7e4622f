/** Find is code of its own: it comes with the first long answer, or when it is asked for, and needs no kernel after that. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { COMPLETE, page, pass, ShownView } from "../testing/view.js";

/** @type {ShownView} */
let shown;
/** @type {string[]} */
let asked;
/** Of the part that is being loaded. @type {{come: () => void, fail: () => void}} */
let part;

globalThis.CSS = /** @type {any} */ ({});
const Find = await import("../src/find.js");
const LONG = `\`\`\`\n${`${"x".repeat(4_000)}\n`.repeat(520)}\`\`\`\n`;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  asked = [];
  const load = (/** @type {string} */ name) => {
    asked.push(name);
    return new Promise((resolve, reject) => (part = { come: () => resolve(Find), fail: () => reject(new Error("the kernel is gone")) }));
  };
  shown = new ShownView({ load });
});
afterEach(() => {
  shown.end();
  mock.timers.reset();
});

const button = () => /** @type {HTMLElement} */ (shown.root.querySelector(".nbstream-find-open"));
const bar = () => /** @type {HTMLElement | null} */ (shown.root.querySelector(".nbstream-find"));
/** Ctrl+F in the answer; whether the browser's own search opens. */
const search = () => {
  const frame = /** @type {HTMLElement} */ (shown.root.querySelector(".nbstream-frame"));
  frame.focus();
  return frame.dispatchEvent(new document.defaultView.KeyboardEvent("keydown", { key: "f", ctrlKey: true, bubbles: true, cancelable: true }));
};
const long = async () => {
  shown.receive(page({ texts: [LONG], tail: 0, state: COMPLETE }));
  while (shown.root.dataset.offset !== "0") await pass(100);
};

test("it is loaded when an answer becomes too long for the page, and its button opens it without a kernel", async () => {
  await long();
  assert.deepEqual([asked, button().hidden, bar()], [["find"], true, null]);
  part.come();
  await pass(16);
  assert.equal(button().hidden, false);
  shown.connection("disconnected");
  button().click();
  assert.equal(bar()?.hidden, false);
  shown.receive(page({ stream: "two", texts: ["Short."], tail: 0, state: COMPLETE }));
  assert.deepEqual([bar()?.hidden, button().hidden], [true, true]);
});

test("where it cannot be loaded there is no button, and the answer is shown all the same", async () => {
  await long();
  part.fail();
  await pass(16);
  assert.deepEqual([button().hidden, bar(), shown.root.dataset.chars], [true, null, String(LONG.length)]);
});

test("Ctrl+F loads it and opens it; the browser's own search is there while it comes, and where it cannot", async () => {
  shown.receive(page({ texts: ["Short."], tail: 0, state: COMPLETE }));
  await pass(100);
  assert.equal(search(), false);
  assert.equal(search(), true);
  part.come();
  await pass(16);
  assert.deepEqual([asked, bar()?.hidden, button().hidden], [["find"], false, true]);
});

test("Ctrl+F without a kernel is the browser's, until it is back", async () => {
  shown.receive(page({ texts: ["Short."], tail: 0, state: COMPLETE }));
  await pass(100);
  shown.connection("disconnected");
  assert.deepEqual([search(), asked], [true, []]);
});
