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

test("an answer that the token limit cut off is told from a whole one", () => {
  shown.receive(page({ texts: ["Cut"], tail: 0, state: { ...COMPLETE, short: true } }));
  assert.equal(shown.root.hasAttribute("data-short"), true);
  shown.receive(page({ stream: "two", texts: ["Whole."], tail: 0, state: { ...COMPLETE, short: false } }));
  assert.equal(shown.root.hasAttribute("data-short"), false);
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

test("an error in a paint does not freeze the view: the answer is read anew, once, and the line says so", async (context) => {
  context.mock.method(console, "error", () => {});
  shown.receive(page({ texts: ["one "], tail: 0 }));
  await pass(300);
  const { viewport } = shown.view;
  const paint = viewport.paint.bind(viewport);
  viewport.paint = () => {
    throw new Error("bad paint");
  };
  shown.heard("ask");
  shown.receive(page({ after: 0, texts: ["two "], off: 4 }));
  await pass(500);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [-1]);
  assert.match(shown.root.querySelector(".nbstream-state").textContent, /^streaming \(Error: bad paint: shown anew/);
  viewport.paint = paint;
  const text = () => shown.root.querySelector(".nbstream-text").textContent.trim();
  shown.receive(page({ after: 1, texts: ["three"], off: 8 }));
  await pass(100);
  assert.match(text(), /^one/, "until the answer is here what is shown stays");
  shown.receive(page({ texts: ["one ", "two "], tail: 1 }));
  shown.receive(page({ after: 1, texts: ["three"], off: 8 }));
  await pass(500);
  assert.deepEqual([text(), shown.root.dataset.offset], ["one two three", "2"]);

  viewport.paint = () => {
    throw new Error("bad again");
  };
  shown.receive(page({ after: 2, texts: [" four"], off: 13 }));
  await pass(500);
  assert.deepEqual(shown.heard("ask"), []);
  assert.match(shown.root.querySelector(".nbstream-state").textContent, /bad again: not all of it is shown, reload/);
  viewport.paint = paint;
  shown.receive(page({ after: 3, texts: [" five"], off: 18, state: COMPLETE }));
  await pass(500);
  assert.match(text(), /five$/);
  shown.receive(page({ stream: "two", texts: ["New."], tail: 0, state: COMPLETE }));
  await pass(500);
  assert.deepEqual([text(), shown.root.querySelector(".nbstream-state").textContent], ["New.", "complete"]);
});

for (const agent of ["constructor", "toString", "__proto__"]) {
  test(`an agent may be called ${agent}`, async () => {
    const agents = { a: "streaming", b: "streaming" };
    const state = { ...STREAMING, agents, lines: {}, buttons: { a: ["stop"], b: ["stop"] } };
    shown.receive(page({ texts: ["Text."], agent, state }));
    shown.receive(page({ after: 0, texts: [" more"], agent: "a", state }));
    await pass(500);
    const lane = [...shown.root.querySelectorAll(".nbstream-lane")].find((one) => one.dataset.agent === agent);
    assert.deepEqual([lane?.dataset.state, shown.root.dataset.offset, shown.root.dataset.chars], ["streaming", "1", "10"]);
  });
}

test("a megabyte of tool calls is painted over frames, and no more is asked for while it waits", async () => {
  shown.receive(page({ texts: ["go"], tail: 0 }));
  await pass(300);
  const call = (/** @type {number} */ i) => ({ kind: "tool_call", agent: "assistant", sequence: i + 3, index: i, id: `c${i}`, name: "look", args_delta: JSON.stringify({ q: "x".repeat(4_000) }), final: true });
  const parts = Array.from({ length: 250 }, (_, i) => call(i));
  const { viewport } = shown.view;
  let [writes, most] = [0, 0];
  const [write, paint] = [viewport.write.bind(viewport), viewport.paint.bind(viewport)];
  viewport.write = (one) => (writes++, write(one));
  viewport.paint = (settled) => ([writes, most] = [0, Math.max(writes, most)], paint(settled));
  shown.heard("ask");
  shown.receive({ type: "page", stream: "one", after: 0, upto: 250, tail: 900, parts, state: { ...STREAMING, offset: 900 } });
  assert.deepEqual(shown.heard("ask"), []);
  await pass(3_000);
  assert.equal(shown.root.querySelectorAll(".nbstream-tool").length, 250);
  assert.ok(most <= 10, `${most} in one paint`);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after).slice(0, 1), [250]);
});
