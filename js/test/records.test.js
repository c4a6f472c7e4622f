import assert from "node:assert/strict";
import { test } from "node:test";

import { codePoints, cutWhole, indexBehind, Records } from "../src/records.js";

const STATE = { state: "streaming", line: "", actions: [], offset: 0, chars: 0 };
const text = (off, text, more = {}) => ({ kind: "text", agent: "assistant", off, text, ...more });
const page = (after, upto, parts, more = {}) => ({ type: "page", stream: "s", after, upto, tail: upto, parts, state: STATE, ...more });
const said = (outcome) => outcome.writes.map((write) => write.text).join("");

test("pages that join are written as they come", () => {
  const records = new Records();
  assert.equal(said(records.apply(page(-1, 2, [text(0, "Hello")]))), "Hello");
  assert.equal(said(records.apply(page(2, 3, [text(5, ", world")]))), ", world");
  assert.equal(records.have, 3);
  assert.equal(records.chars, 12);
});

test("a page behind a hole changes nothing and asks", () => {
  const records = new Records();
  records.apply(page(-1, 2, [text(0, "Hello")]));
  const outcome = records.apply(page(4, 6, [text(9, "!")]));
  assert.deepEqual([outcome.hole, outcome.writes, records.have], [true, [], 2]);
});

test("a page known already brings only its state", () => {
  const records = new Records();
  records.apply(page(-1, 5, [text(0, "Hello")]));
  assert.deepEqual(records.apply(page(1, 4, [text(0, "He")])), { fresh: false, hole: false, writes: [] });
  assert.deepEqual(records.apply(page(5, 5, [])).hole, false);
});

test("the tail an answer names is where readers end, however far the log was said to go", () => {
  const records = new Records();
  records.apply(page(-1, 2, [text(0, "Hello")], { tail: 9 }));
  assert.equal(records.tail, 9);
  records.apply(page(2, 3, [text(5, "!")], { tail: 3, state: { ...STATE, offset: 3 } }));
  assert.equal(records.tail, 3);
  records.apply(page(3, 3, [], { tail: -1, state: { ...STATE, offset: -1 } }));
  assert.equal(records.tail, 3);
  records.apply(page(4, 6, [], { tail: undefined }));
  assert.equal(records.tail, 6);
});

test("overlap is cut by code points, emoji count as one", () => {
  const records = new Records();
  records.apply(page(-1, 1, [text(0, "a😀b")]));
  assert.equal(said(records.apply(page(0, 2, [text(1, "😀b👩‍🚀c")]))), "👩‍🚀c");
  assert.equal(records.chars, 7);
});

test("a part that does not join on inside a page is a hole, and nothing of the page is taken", () => {
  const records = new Records();
  records.apply(page(-1, 1, [text(0, "ab")]));
  const outcome = records.apply(page(1, 3, [text(2, "c"), text(9, "z")]));
  assert.equal(outcome.hole, true);
  assert.deepEqual([records.have, records.chars], [1, 2]);
  assert.equal(said(records.apply(page(1, 2, [text(2, "c")]))), "c");
});

test("agents and kinds have lengths of their own", () => {
  const records = new Records();
  const outcome = records.apply(
    page(-1, 4, [text(0, "think", { kind: "reasoning" }), text(0, "A"), text(0, "B", { agent: "planner" }), { kind: "usage", agent: "assistant" }]),
  );
  assert.deepEqual(outcome.writes.map(({ agent, kind, text }) => [agent, kind, text]), [
    ["assistant", "reasoning", "think"],
    ["assistant", "text", "A"],
    ["planner", "text", "B"],
    ["assistant", "usage", ""],
  ]);
});

test("a page of another stream starts anew", () => {
  const records = new Records();
  records.apply(page(-1, 5, [text(0, "old")]));
  const outcome = records.apply(page(-1, 0, [text(0, "new")], { stream: "t" }));
  assert.deepEqual([outcome.fresh, said(outcome), records.chars, records.have], [true, "new", 3, 0]);
  assert.equal(records.apply(page(3, 4, [], { stream: "u" })).hole, true);
});

test("the tail is the last record anybody spoke of", () => {
  const records = new Records();
  records.apply(page(-1, 2, [text(0, "x")], { tail: undefined }));
  assert.equal(records.tail, 2);
  records.apply(page(2, 2, [], { tail: undefined, state: { offset: 5 } }));
  assert.equal(records.tail, 5);
  records.apply(page(2, 3, [text(1, "y")], { tail: 9 }));
  assert.deepEqual([records.have, records.tail], [3, 9]);
});

test("any order, doubling and overlap of pages gives the text once", () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  console.log(`seed ${seed} (SEED=${seed} repeats it)`);
  const random = generator(seed);
  const pieces = Array.from({ length: 40 }, () => Array.from({ length: random(6) }, () => ["a", "é", "😀", "\n", "字"][random(5)]).join(""));
  const whole = pieces.join("");
  const off = (record) => codePoints(pieces.slice(0, record).join(""));
  const records = new Records();
  let shown = "";
  let steps = 0;
  while (records.have < pieces.length - 1) {
    const after = random(4) === 0 ? records.have : random(pieces.length) - 1;
    const upto = Math.min(pieces.length - 1, after + random(6));
    shown += said(records.apply(page(after, upto, [text(off(after + 1), pieces.slice(after + 1, upto + 1).join(""))])));
    assert.ok(whole.startsWith(shown));
    assert.ok(++steps < 100_000);
  }
  assert.equal(shown, whole);
  assert.equal(records.chars, [...whole].length);
});

test("cuts never tear a character", () => {
  assert.deepEqual(cutWhole("ab😀c", 3), ["ab", "😀c"]);
  assert.deepEqual(cutWhole("ab😀c", 4), ["ab😀", "c"]);
  assert.equal(indexBehind("a😀b", 2), 3);
  assert.equal(codePoints("\ud83d\ud83d\ude00"), 2);
});

/** Small repeatable random numbers (mulberry32). */
function generator(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

test("what the store has left behind a loss is other records: the view begins anew, once", () => {
  const records = new Records();
  records.apply(page(-1, 5, [text(0, "abcdef")]));
  const outcome = records.apply(page(5, 9, [text(6, "RST")], { stream: "s~1" }));
  assert.deepEqual([outcome.fresh, outcome.hole, records.have, records.chars], [true, true, -1, 0]);
  const anew = records.apply(page(-1, 9, [text(0, "abPQRST")], { stream: "s~1" }));
  assert.deepEqual([anew.fresh, said(anew), records.have], [false, "abPQRST", 9]);
  assert.equal(records.apply(page(9, 10, [text(7, "U")], { stream: "s~1" })).fresh, false);
});
