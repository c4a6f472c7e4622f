/** Copying an answer that has to be read from the log. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { COMPLETE, page, pass, ShownView } from "../testing/view.js";

const TEXT = "A long answer.";

/** @type {ShownView} */
let shown;
let copied;

globalThis.ClipboardItem = class {
  constructor(items) {
    this.items = items;
  }
};

beforeEach(async () => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  copied = null;
  const write = async ([{ items }]) => (copied = await (await items["text/plain"]).text());
  Object.defineProperty(navigator, "clipboard", { configurable: true, value: { write } });
  shown = new ShownView();
  shown.receive(page({ texts: [TEXT], tail: 0, state: COMPLETE }));
  await pass(100);
  // As if it were millions of characters: not on the page.
  const { view } = shown;
  Object.defineProperty(view.viewport, "windowed", { value: true });
  view.viewport.source = (/** @type {any} */ reading) => view.reads.text("assistant", "text", 0, TEXT.length, reading);
});
afterEach(() => {
  shown.end();
  mock.timers.reset();
});

const button = () => [...shown.root.querySelectorAll("button")].find(({ textContent }) => textContent === "Copy");
const said = () => shown.root.querySelector(".nbstream-said").textContent;
const answer = (more) => {
  const [{ view, id, stream, from }] = shown.heard("read");
  shown.receive({ type: "text", view, id, stream, from, text: "", ...more });
};

test("what is read is copied, and the button says how far it is", async () => {
  button().click();
  answer({ text: TEXT.slice(0, 7) });
  await pass(16);
  assert.equal(button().dataset.progress, "50 %");
  answer({ text: TEXT.slice(7) });
  await pass(16);
  assert.deepEqual([copied, button().dataset.progress, said()], [TEXT, undefined, "Copied."]);
});

test("a text that cannot be read is not copied, and the button says so", async () => {
  button().click();
  answer({ reason: "the record is damaged" });
  await pass(16);
  assert.equal(copied, null);
  assert.match(said(), /could not be copied/);
  assert.deepEqual([button().dataset.failed, button().dataset.progress], ["", undefined]);
});

test("a kernel that does not answer is said to have failed, and Copy can be pressed again", async () => {
  button().click();
  await pass(16_000, 500);
  assert.match(said(), /could not be copied/);
  shown.heard("read");
  button().click();
  answer({ text: TEXT });
  await pass(16);
  assert.equal(copied, TEXT);
});

for (const [how, end] of [
  ["Escape", () => button().dispatchEvent(new (document.defaultView.KeyboardEvent)("keydown", { key: "Escape", bubbles: true }))],
  ["a second press", () => button().click()],
  ["another answer", () => shown.receive(page({ stream: "two", texts: ["New"], tail: 0, state: COMPLETE }))],
  ["the view's end", () => shown.owner.abort()],
]) {
  test(`${how} ends it at once, without a word, whatever is on its way`, async () => {
    button().click();
    answer({ text: TEXT.slice(0, 7) });
    await pass(16);
    end();
    await pass(16);
    const late = shown.heard("read");
    assert.deepEqual([button().dataset.progress, button().dataset.failed], [undefined, undefined]);
    for (const { view, id, stream, from } of late) shown.receive({ type: "text", view, id, stream, from, text: TEXT.slice(7) });
    await pass(16);
    assert.deepEqual([copied, button().dataset.progress, button().dataset.failed], [null, undefined, undefined]);
    assert.doesNotMatch(said(), /copied/i);
  });
}

test("the Copy of another agent ends the one that runs and does its own work", async () => {
  const agents = { a: "complete", b: "complete" };
  shown.receive(page({ stream: "two", texts: ["Text."], agent: "a", tail: 0, state: { ...COMPLETE, agents } }));
  await pass(500);
  const { view } = shown;
  view.viewport.source = (/** @type {any} */ reading, /** @type {string} */ agent) => view.reads.text(agent, "text", 0, TEXT.length, reading);
  const [a, b] = ["a", "b"].map((agent) => shown.root.querySelector(`[aria-label="${agent}: Copy"]`));
  b.disabled = false; // nothing of it is on the page
  a.click();
  await pass(16);
  const [first] = shown.heard("read");
  b.click();
  await pass(16);
  const [second] = shown.heard("read");
  assert.deepEqual([first.agent, second?.agent, a.dataset.failed], ["a", "b", undefined]);
  const { view: asking, id, stream, from } = second;
  shown.receive({ type: "text", view: asking, id, stream, from, text: TEXT });
  await pass(16);
  assert.deepEqual([copied, b.dataset.done, a.dataset.done], [TEXT, "", undefined]);
});
