import assert from "node:assert/strict";
import { test } from "node:test";

import { codePoints, indexBehind, Records } from "../src/records.js";

const page = (after, upto, parts) => ({ type: "page", stream: "s", after, upto, tail: upto, parts, state: { offset: upto } });
const text = (sequence, off, text, more = {}) => ({ kind: "text", agent: "a", sequence, off, text, ...more });
const mark = (sequence, kind, more = {}) => ({ kind, agent: "a", sequence, ...more });

/** What a view makes of writes: the text of each agent and kind, and all else in order. */
class Shown {
  texts = {};
  marks = [];

  take(writes) {
    for (const { agent, kind, text, part, taken } of writes) {
      const lane = `${kind === "truncate" ? (part.of ?? "text") : kind} ${agent}`;
      if (kind === "truncate") {
        assert.equal(taken, Math.max(0, codePoints(this.texts[lane] ?? "") - part.length));
        this.texts[lane] = (this.texts[lane] ?? "").slice(0, indexBehind(this.texts[lane] ?? "", part.length));
      } else if (text) this.texts[lane] = (this.texts[lane] ?? "") + text;
      if (!text) this.marks.push(`${agent} ${kind} ${part.sequence}`);
    }
    for (const [lane, text] of Object.entries(this.texts)) if (!text) delete this.texts[lane];
  }
}

test("a part without text comes whole, at its place among the text", () => {
  const { writes } = new Records().apply(page(-1, 3, [text(1, 0, "a"), mark(2, "tool_call", { index: 0, args_delta: "{" }), text(3, 1, "b")]));
  assert.deepEqual(writes.map(({ kind, text, part }) => [kind, text, part.args_delta]), [["text", "a", undefined], ["tool_call", "", "{"], ["text", "b", undefined]]);
});

test("a part without text is taken once, however pages overlap", () => {
  const records = new Records();
  records.apply(page(-1, 2, [text(1, 0, "a"), mark(3, "seam")]));
  const { writes } = records.apply(page(-1, 4, [text(1, 0, "a"), mark(3, "seam"), mark(4, "seam"), text(5, 1, "b")]));
  assert.deepEqual(writes.map(({ part }) => part.sequence), [4, 5]);
});

test("a part that has no number is taken from pages that join only", () => {
  const records = new Records();
  assert.equal(records.apply(page(-1, 2, [{ kind: "usage", agent: "a" }])).writes.length, 1);
  assert.equal(records.apply(page(1, 3, [{ kind: "usage", agent: "a" }])).writes.length, 0);
});

test("behind text that was taken back the next one joins, and counts", () => {
  const records = new Records();
  const { hole, writes } = records.apply(page(-1, 3, [text(1, 0, "a😀cd"), mark(2, "truncate", { length: 2 }), text(3, 2, "x")]));
  assert.deepEqual([hole, writes.at(1).taken, records.chars], [false, 2, 3]);
  assert.equal(records.apply(page(3, 4, [text(4, 4, "y")])).hole, true);
  assert.equal(records.apply(page(3, 4, [text(4, 3, "y")])).hole, false);
});

test("text that was taken back does not come back with a page that overlaps", () => {
  const records = new Records();
  records.apply(page(-1, 2, [text(1, 0, "wrong"), mark(2, "truncate", { length: 1 })]));
  const { writes } = records.apply(page(-1, 3, [text(1, 0, "wrong"), mark(2, "truncate", { length: 1 }), text(3, 1, "ell")]));
  assert.deepEqual(writes.map(({ text }) => text), ["ell"]);
  assert.equal(records.chars, 4);
});

test("a truncate says which kind of text it takes back", () => {
  const records = new Records();
  records.apply(page(-1, 1, [text(1, 0, "abc"), text(2, 0, "think", { kind: "reasoning" }), mark(3, "truncate", { length: 1, of: "reasoning" })]));
  assert.equal(records.chars, 4);
  assert.equal(records.apply(page(1, 2, [text(4, 3, "d"), text(5, 1, "o", { kind: "reasoning" })])).hole, false);
});

test("any order, doubling and overlap of pages with parts of all kinds and several agents shows each once", () => {
  const seed = Number(process.env.NBSTREAM_SEED ?? Date.now() % 1e9);
  console.log(`seed ${seed} (NBSTREAM_SEED=${seed} repeats it)`);
  const random = generator(seed);
  for (let run = 0; run < 60; run++) {
    const log = randomLog(random, 30);
    const whole = new Shown();
    whole.take(new Records().apply(page(-1, log.length - 1, joined(log.flat()))).writes);
    const records = new Records();
    const shown = new Shown();
    for (let step = 0; records.have < log.length - 1; step++) {
      assert.ok(step < 10_000);
      const after = random(3) === 0 ? records.have : random(log.length) - 1;
      const upto = Math.min(log.length - 1, after + random(8));
      shown.take(records.apply(page(after, upto, joined(log.slice(after + 1, upto + 1).flat()))).writes);
    }
    assert.deepEqual(shown, whole);
    assert.equal(records.chars, codePoints(Object.values(whole.texts).join("")));
  }
});

/** Records as a recorder numbers them: sequence dense per agent, `off` behind what stays. */
function randomLog(random, length) {
  const sequences = {};
  const lengths = {};
  return Array.from({ length }, () =>
    Array.from({ length: random(4) }, () => {
      const agent = ["a", "b"][random(2)];
      const sequence = (sequences[agent] = (sequences[agent] ?? 0) + 1);
      const of = ["text", "reasoning"][random(2)];
      const lane = `${of} ${agent}`;
      const off = lengths[lane] ?? 0;
      const dice = random(10);
      if (dice === 0) return { kind: "seam", agent, sequence };
      if (dice === 1) {
        lengths[lane] = random(off + 2);
        const part = { kind: "truncate", agent, sequence, length: lengths[lane], of };
        lengths[lane] = Math.min(off, lengths[lane]);
        return part;
      }
      const said = Array.from({ length: 1 + random(5) }, () => ["a", "é", "😀", "字"][random(4)]).join("");
      lengths[lane] = off + codePoints(said);
      return { kind: of, agent, sequence, off, text: said };
    }),
  );
}

/** As the kernel joins: adjacent text of one agent and kind, under the number of the first. */
function joined(parts) {
  const out = [];
  for (const part of parts) {
    const last = out.at(-1);
    if (part.text && last?.text && last.kind === part.kind && last.agent === part.agent) last.text += part.text;
    else out.push({ ...part });
  }
  return out;
}

/** Small repeatable random numbers (mulberry32). */
function generator(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
