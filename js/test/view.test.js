/** What a view paints, and what it says of it to the kernel. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { COMPLETE, page, pass, ShownView, STREAMING } from "../testing/view.js";

/** @type {ShownView} */
let shown;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  shown = new ShownView();
});
afterEach(() => {
  shown.end();
  mock.timers.reset();
});

test("lanes stand in the team's order, whoever spoke first", async () => {
  const agents = { planner: "streaming", writer: "streaming" };
  shown.receive(page({ texts: ["Text."], agent: "writer", tail: 0, state: { ...STREAMING, agents } }));
  await pass(100);
  assert.deepEqual([...shown.root.querySelectorAll(".nbstream-lane")].map((lane) => lane.dataset.agent), ["planner", "writer"]);
});

test("of a long log little waits to be painted: the next is asked for when room is, and acks go on", async () => {
  const texts = [`${"word ".repeat(40)}\n\n`.repeat(3_000)];
  const [{ length }] = texts; // two of them are more than a megabyte
  shown.receive(page({ texts, tail: 4 }));
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [-1, 0]);
  shown.receive(page({ after: 0, texts, off: length, tail: 4 }));
  assert.deepEqual(shown.heard("ask"), []);
  while (shown.view.viewport.chars <= length) await pass(50);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [1]);
  assert.deepEqual(shown.heard("ack").map(({ offset }) => offset), [0]);
  assert.equal(shown.root.dataset.offset, "0");
});

test("a regenerated answer begins at nothing, in the place of the old one until it ends", async () => {
  shown.receive(page({ texts: ["Old."], tail: 0, state: COMPLETE }));
  await pass(100);
  assert.deepEqual([shown.root.dataset.offset, shown.root.dataset.chars], ["0", "4"]);
  Object.defineProperty(shown.root, "offsetHeight", { value: 300 });
  shown.receive(page({ stream: "two", state: { ...STREAMING, state: "connecting" } }));
  const { stream, offset, chars } = shown.root.dataset;
  assert.deepEqual([stream, offset, chars], ["two", "-1", "0"]);
  assert.equal(shown.root.style.minHeight, "300px");
  shown.receive(page({ stream: "two", texts: ["New."] }));
  await pass(100);
  assert.equal(shown.root.style.minHeight, "300px");
  shown.receive(page({ stream: "two", after: 0, tail: 0, state: COMPLETE }));
  await pass(100);
  assert.equal(shown.root.style.minHeight, "");
});

test("an answer whose last line changes all of it goes on to be painted until it is through, and is over then", async () => {
  const text = `${"Says [1].\n\n".repeat(10_000)}[1]: https://a.test`;
  const left = () => [...shown.root.querySelectorAll("p")].filter((p) => !p.firstElementChild).length;
  shown.receive(page({ texts: [text.slice(0, -14)], tail: 0 }));
  for (let i = 0; i < 100 && shown.view.viewport.chars < text.length - 14; i++) await pass(50);
  shown.root.style.minHeight = "300px";
  shown.receive(page({ after: 0, texts: [text.slice(-14)], off: text.length - 14, tail: 1, state: COMPLETE }));
  const seen = [];
  for (let i = 0; i < 1_000 && shown.root.style.minHeight; i++) {
    await pass(16);
    if (left() !== seen.at(-1)) seen.push(left());
  }
  assert.equal(seen.at(-1), 0);
  assert.ok(seen.length >= 3, `bit by bit: ${seen}`);
});

test("the kept place is at most 70 % of the window", () => {
  shown.receive(page({ texts: ["Old."], tail: 0, state: COMPLETE }));
  Object.defineProperty(shown.root, "offsetHeight", { value: 5_000 });
  shown.receive(page({ stream: "two" }));
  assert.equal(shown.root.style.minHeight, `${0.7 * innerHeight}px`);
});

test("acks name the stream they are about, and none is left over from the one before", async () => {
  shown.receive(page({ texts: ["Old."], tail: 0 }));
  await pass(100);
  assert.deepEqual(shown.heard("ack").map(({ stream, offset }) => [stream, offset]), [["one", 0]]);
  shown.receive(page({ after: 0, texts: ["More."], off: 4 }));
  await pass(100);
  shown.receive(page({ stream: "two" }));
  await pass(3_000);
  assert.deepEqual(shown.heard("ack"), []);
  shown.receive(page({ stream: "two", texts: ["New."], tail: 0, state: COMPLETE }));
  await pass(2_000);
  assert.deepEqual(shown.heard("ack").map(({ stream, offset }) => [stream, offset]), [["two", 0]]);
});
