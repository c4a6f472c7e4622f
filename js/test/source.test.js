import assert from "node:assert/strict";
import test from "node:test";

import { cutInto, Source } from "../src/source.js";

const seed = Number(process.env.NBSTREAM_SEED ?? Math.floor(Math.random() * 2 ** 31));
let state = seed;
const dice = (/** @type {number} */ most) => (state = (state * 48271) % 2147483647) % (most + 1);
const never = () => Promise.reject(new Error("the log was asked"));
const PIECES = ["a", "🦜", "naïve ", "\r\n", "日本", "\ud83e", "word "];
const text = (/** @type {number} */ count) => Array.from({ length: count }, () => PIECES[dice(PIECES.length - 1)]).join("");
const points = (/** @type {string} */ all, /** @type {number} */ from, /** @type {number} */ to) => [...all].slice(from, to).join("");

test("any range of a text in memory is that range of its code points, also after text was taken back", () => {
  console.log(`NBSTREAM_SEED=${seed}`);
  for (let round = 0; round < 300; round++) {
    const source = new Source(never);
    let all = "";
    for (let step = 0; step < 12; step++) {
      if (dice(5) === 0) {
        const stays = dice([...all].length);
        source.cut(stays);
        all = points(all, 0, stays);
      } else {
        // Texts come whole in characters, so a lone surrogate never meets its other half.
        const more = text(dice(9)).replaceAll("\ud83e", "?").replaceAll("?\udd9c", "x");
        source.add(more);
        all += more;
      }
      const length = [...all].length;
      assert.equal(source.points, length);
      const [from, to] = [dice(length), dice(length)].sort((a, b) => a - b);
      assert.equal(source.now(from, to), points(all, from, to));
    }
    assert.equal(source.now(0, source.points), all);
  }
});

test("taking text back costs what is taken back, however long the text before it is", () => {
  const cost = (/** @type {number} */ length) => {
    const source = new Source(never);
    source.add("a few words 🦜 ".repeat(length / 14));
    const begun = performance.now();
    for (let i = 0; i < 1_000; i++) {
      source.add("wrong");
      source.cut(source.points - 5);
      assert.equal(source.now(source.points - 2, source.points), "🦜 ");
    }
    return performance.now() - begun;
  };
  cost(14_000);
  const [short, long] = [cost(14_000), cost(1_400_000)];
  assert.ok(long < 10 * short + 100, `${short} ms at 14 KB, ${long} ms at 1.4 MB`);
});

test("a text that is not kept is read from the log, by the same code points", async () => {
  const asked = [];
  const source = new Source(async (from, to) => (asked.push([from, to]), "from the log"));
  source.add("0123456789🦜");
  assert.equal(await source.slice(10, 11), "🦜");
  source.forget();
  assert.equal(source.kept, false);
  source.add("more");
  assert.equal(source.points, 15);
  source.cut(12);
  assert.equal(source.points, 12);
  assert.equal(await source.slice(3, 12), "from the log");
  assert.deepEqual(asked, [[3, 12]]);
});

test("a text is cut into pieces only where it is as long as they are together", () => {
  assert.deepEqual(cutInto("ab🦜cd", [1, 2, 0, 2]), ["a", "b🦜", "", "cd"]);
  assert.equal(cutInto("ab🦜cd", [1, 2, 1]), null);
  assert.equal(cutInto("ab🦜", [1, 2, 1]), null);
});
