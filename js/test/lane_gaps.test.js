import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Lane } from "../src/lane.js";
import "../testing/dom.js";

/** @type {Lane} */
let lane;

beforeEach(() => {
  lane = new Lane("a");
  lane.el.dataset.state = "streaming";
});

const say = (text) => lane.write({ agent: "a", kind: "text", text, part: { kind: "text", agent: "a", text } });
const part = (kind, fields) => lane.write({ agent: "a", kind, text: "", part: { kind, agent: "a", ...fields } });
const late = (at, number, text, closes = false) => part("late", { at, number, text, ...(closes && { closes }) });

/** What stands in the lane. */
function flow() {
  lane.paint();
  return [...lane.el.querySelectorAll(".nbstream-flow > :not([hidden])")].map((el) => el.textContent.trim().replace(/\s+/g, " "));
}

test("a frame that comes late stands at its gap, which goes with the last of it", async () => {
  say("one ");
  part("gap", { at: 4, expected: 2, got: 4 });
  say("four");
  assert.deepEqual(flow(), ["one", "missing: pieces 2-3", "four"]);
  late(4, 3, "three ");
  assert.deepEqual(flow(), ["one", "three", "missing: pieces 2-3", "four"]);
  assert.equal(await lane.source(), "one three four");
  late(4, 2, "two ", true);
  assert.deepEqual(flow(), ["one", "two", "three", "four"]);
  assert.equal(await lane.source(), "one two three four");
  assert.ok([...lane.el.querySelectorAll(".nbstream-text")].every((el) => flow().includes(el.textContent.trim())));
});

test("of two gaps at one place each has its own frames", async () => {
  part("gap", { at: 0, expected: 1, got: 3 });
  part("gap", { at: 0, expected: 4, got: 5 });
  say("five");
  late(0, 4, "four ", true);
  late(0, 2, "two ");
  late(0, 1, "one ", true);
  assert.deepEqual(flow(), ["one", "two", "four", "five"]);
  assert.equal(await lane.source(), "one two four five");
});

test("the source has it at its place where the line stands below: in a block of code, behind an emoji", async () => {
  say("```\n😀a\n");
  part("gap", { at: 7, expected: 2, got: 3 });
  say("c\n```\n\nEnd.");
  late(7, 2, "b\n", true);
  assert.equal(await lane.source(), "```\n😀a\nb\nc\n```\n\nEnd.");
});

test("a frame for a gap that nobody named is not shown", async () => {
  say("one");
  late(2, 9, "lost");
  assert.deepEqual(flow(), ["one"]);
});

test("the gist of a text is its first and its last line", () => {
  say("# A title\n\nSome text\nin two lines.\n\n- first\n- last");
  lane.end();
  lane.paint();
  assert.deepEqual(lane.gist, ["A title", "last"]);
});
