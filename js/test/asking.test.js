/** What was lost on the way comes all the same: questions are repeated until they are answered. */

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

test("a view that gets no answer asks again, later and later, half a minute at the most", async () => {
  const at = [];
  for (let second = 0; second < 100; second++) {
    if (shown.heard("ask").length > 0) at.push(second);
    await pass(1_000, 500);
  }
  assert.deepEqual(at, [0, 2, 6, 14, 30, 60, 90]);
});

test("only an answer ends a question: a live page is none", async () => {
  await pass(100);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [-1]);
  shown.receive(page({ texts: ["a"] }));
  await pass(2_100);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [0]);
  shown.receive(page({ after: 0, tail: 0 }));
  await pass(10_000, 500);
  assert.deepEqual(shown.heard("ask"), []);
});

test("behind a hole it is asked at once and again until the answer is here", async () => {
  shown.receive(page({ texts: ["a"], tail: 0 }));
  shown.heard("ask");
  shown.receive(page({ after: 1, texts: ["c"], off: 2 }));
  shown.receive(page({ after: 2, texts: ["d"], off: 3 }));
  await pass(600);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [0]);
  await pass(2_500);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [0]);
  shown.receive(page({ after: 0, texts: ["b", "c", "d"], off: 1, tail: 3 }));
  await pass(10_000, 500);
  assert.deepEqual(shown.heard("ask"), []);
  assert.equal(shown.root.querySelector(".nbstream-text").textContent.trim(), "abcd");
});

test("when the answer to 'more' is lost and the log is at rest, it is asked for again", async () => {
  shown.receive(page({ texts: ["a"], tail: 1, state: COMPLETE }));
  await pass(100);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [-1, 0]);
  await pass(2_100);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [0]);
  shown.receive(page({ after: 0, texts: ["b"], off: 1, tail: 1, state: COMPLETE }));
  await pass(10_000, 500);
  assert.deepEqual(shown.heard("ask"), []);
});

test("an answer that comes twice is no answer to the question behind it", async () => {
  const first = page({ texts: ["a"], tail: 2 });
  shown.receive(first);
  shown.receive(first);
  await pass(100);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [-1, 0]);
  await pass(2_500);
  assert.deepEqual(shown.heard("ask").map(({ after }) => after), [0]);
});

test("when the connection is back it is asked until an answer says so", async () => {
  shown.receive(page({ texts: ["a"], tail: 0, state: COMPLETE }));
  await pass(100);
  shown.heard("ask");
  shown.connection("disconnected");
  await pass(40_000, 500);
  assert.equal(shown.root.dataset.link, "lost");
  assert.deepEqual(shown.heard("ask"), []);
  shown.connection("connected");
  await pass(3_000);
  assert.equal(shown.heard("ask").length, 2);
  shown.receive(page({ after: 0, tail: 0, state: COMPLETE }));
  await pass(10_000, 500);
  assert.equal(shown.root.dataset.link, "live");
  assert.deepEqual(shown.heard("ask"), []);
});

test("a view that begins while the connection is cut says so, and asks when it is back", async () => {
  shown.connection("disconnected");
  shown.heard("ask");
  const el = document.createElement("div");
  const View = /** @type {any} */ (shown.view.constructor);
  new View({ transport: shown.transport }, el, shown.owner.signal);
  await pass(5_000, 500);
  assert.equal(el.firstElementChild.dataset.link, "lost");
  assert.deepEqual(shown.heard("ask"), []);
  shown.connection("connected");
  assert.equal(new Set(shown.heard("ask").map(({ view }) => view)).size, 2);
});

test("a live view that hears nothing says every 30 s what it shows and holds", async () => {
  shown.receive(page({ texts: ["a", "b"], tail: 1, state: STREAMING }));
  await pass(61_000, 500);
  assert.deepEqual(shown.heard("here").map(({ stream, have }) => [stream, have]), [["one", 1], ["one", 1]]);
  // The last live page was lost; the kernel answers with it.
  shown.receive(page({ after: 1, texts: ["c"], off: 2, tail: 2, state: COMPLETE }));
  await pass(61_000, 500);
  assert.deepEqual(shown.heard("here"), []);
  assert.equal(shown.root.dataset.state, "complete");
});

test("an ended view asks nothing and says goodbye", async () => {
  shown.owner.abort();
  shown.heard("ask");
  await pass(40_000, 500);
  assert.deepEqual(shown.sent.map(({ type }) => type), ["bye"]);
});
