import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Lane } from "../src/lane.js";
import "../testing/dom.js";

/** @type {Lane} */
let lane;
let sequence;

beforeEach(() => {
  lane = new Lane("assistant");
  lane.el.dataset.state = "streaming";
  sequence = 0;
});

const say = (kind, text) => lane.write({ agent: "assistant", kind, text, part: { kind, agent: "assistant", text } });
const part = (kind, fields = {}) =>
  lane.write({ agent: "assistant", kind, text: "", part: { kind, agent: "assistant", sequence: ++sequence, ...fields }, taken: fields.taken });
const settle = (state) => {
  lane.el.dataset.state = state;
  lane.end();
  lane.paint();
};

/** What stands in the lane, in order: [what, its text]. */
function flow() {
  lane.paint();
  const words = (el) => el.textContent.trim().replace(/\s+/g, " ");
  return [...lane.el.querySelectorAll(".nbstream-flow > :not([hidden])")].map((el) => {
    if (el.matches(".nbstream-reasoning")) return ["reasoning", words(el.lastElementChild)];
    if (el.matches(".nbstream-tool")) return ["tool", words(el.querySelector("summary"))];
    if (el.matches(".nbstream-mark")) return ["mark", words(el)];
    return [el.matches(".nbstream-refusal") ? "refusal" : "text", words(el)];
  });
}

test("text, call, text stand in the order in which they came", async () => {
  say("text", "Let me look.");
  part("tool_call", { index: 0, id: "1", name: "look", args_delta: "{}" });
  say("text", "It is there.");
  assert.deepEqual(flow(), [["text", "Let me look."], ["tool", "Tool call look · running ..."], ["text", "It is there."]].map(dotless));
  assert.equal(await lane.source(), "Let me look.\n\nIt is there.");
});

test("reasoning stands folded above the text of its stretch, and says its size and whether it goes on", () => {
  say("reasoning", "Hm");
  say("reasoning", "m.");
  lane.paint();
  const facts = lane.el.querySelector(".nbstream-reasoning .nbstream-facts");
  assert.equal(lane.el.querySelector("details").open, false);
  assert.equal(facts.textContent, "4 characters, goes on ...");
  say("text", "Yes.");
  lane.paint();
  assert.equal(facts.textContent, "4 characters");
  say("reasoning", "!");
  assert.deepEqual(flow(), [["reasoning", "Hmm.!"], ["text", "Yes."]]);
  part("tool_call", { index: 0, args_delta: "{}" });
  say("reasoning", "Again.");
  say("text", "Done.");
  assert.deepEqual(flow().slice(2).map(([what]) => what), ["tool", "reasoning", "text"]);
});

test("reasoning that was cut does not go on", () => {
  say("reasoning", "Hm");
  lane.paint();
  settle("interrupted");
  assert.equal(lane.el.querySelector(".nbstream-facts").textContent, "2 characters");
});

test("a call's arguments are shown as they come, and indented once they are whole JSON", () => {
  part("tool_call", { index: 0, id: "1", name: "add", args_delta: '{"a":12345678901234567890,' });
  part("tool_call", { index: 0, args_delta: '"b":[]' });
  lane.paint();
  const pre = lane.el.querySelector("pre");
  assert.equal(pre.textContent, '{"a":12345678901234567890,"b":[]');
  part("tool_call", { index: 0, args_delta: "}", final: true });
  lane.paint();
  assert.equal(pre.textContent, '{\n  "a": 12345678901234567890,\n  "b": []\n}');
});

test("arguments that go on although they seemed whole are shown as they came", () => {
  part("tool_call", { index: 0, id: "1", name: "one", args_delta: "{}" });
  part("tool_call", { index: 1, id: "2", name: "two", args_delta: '{"b": 1}' });
  part("tool_call", { index: 0, args_delta: " // more" });
  assert.deepEqual(flow().map(([what]) => what), ["tool", "tool"]);
  assert.equal(lane.el.querySelector("pre").textContent, "{} // more");
});

test("what goes on behind JSON that was indented keeps all of it, also where both are too long to be indented", () => {
  const text = () => [...lane.el.querySelectorAll("pre")].map((pre) => pre.textContent).join("");
  const first = `["${"a".repeat(40_000)}"]`;
  part("tool_result", { id: "1", content: first });
  lane.paint();
  part("tool_result", { id: "1", content: "b".repeat(30_000) });
  lane.paint();
  assert.equal(text(), (first + "b".repeat(30_000)).slice(0, 65_536));
  lane.el.querySelector("button").click();
  assert.equal(text(), first + "b".repeat(30_000));
});

test("indented JSON of which more was asked for is shown once as it came when more comes", () => {
  const [first, more] = [`[${"1,".repeat(20_000)}1]`, "b".repeat(30_000)];
  part("tool_result", { id: "1", content: first });
  lane.paint();
  lane.el.querySelector("button").click(); // indented it is longer than what is shown at first
  part("tool_result", { id: "1", content: more });
  lane.paint();
  lane.el.querySelector("button").click();
  assert.equal([...lane.el.querySelectorAll("pre")].map((pre) => pre.textContent).join(""), first + more);
});

test("how a call stands: running, done, failed, called, or without a result", () => {
  for (const id of ["1", "2", "3"]) part("tool_call", { index: Number(id), id, name: `t${id}`, args_delta: "{}" });
  part("tool_result", { id: "1", content: { ok: true } });
  part("tool_result", { id: "2", content: "boom", failed: true });
  const status = () => (lane.paint(), [...lane.el.querySelectorAll(".nbstream-tool")].map((el) => el.dataset.status));
  assert.deepEqual(status(), ["done", "failed", "running"]);
  settle("complete");
  assert.deepEqual(status(), ["done", "failed", "called"]);
  settle("interrupted");
  assert.deepEqual(status(), ["done", "failed", "cut"]);
  lane.el.dataset.state = "streaming"; // resumed
  assert.deepEqual(status(), ["done", "failed", "running"]);
  part("tool_result", { id: "3", content: "[1]" });
  assert.deepEqual(status(), ["done", "failed", "done"]);
  const results = [...lane.el.querySelectorAll(".nbstream-tool > :last-child pre")].map((el) => el.textContent);
  assert.deepEqual(results, ['{\n  "ok": true\n}', "boom", "[\n  1\n]"]);
});

test("the next turn of an agent counts its calls from 0 again", () => {
  part("tool_call", { index: 0, id: "1", name: "one", args_delta: "{}" });
  part("tool_result", { id: "1", content: "1" });
  part("tool_call", { index: 0, id: "2", name: "two", args_delta: "{}" });
  part("tool_result", { content: "2" });
  part("tool_result", { id: "9", name: "alone", content: "3" });
  assert.deepEqual(flow(), [["tool", "Tool call one · done"], ["tool", "Tool call two · done"], ["tool", "Tool result alone · done"]].map(dotless));
});

test("a long result shows 64 KB, and the rest when it is asked for", () => {
  const long = "0123456789abcde\n".repeat(16_384) + "end";
  part("tool_result", { name: "dump", content: long });
  lane.paint();
  const shown = () => [...lane.el.querySelectorAll("pre")].map((pre) => pre.textContent).join("");
  const more = lane.el.querySelector("button");
  assert.equal(shown(), long.slice(0, 65_536));
  assert.equal(more.textContent, "Show all (193 KB more)");
  assert.ok([...lane.el.querySelectorAll("pre > span")].every((box) => box.textContent.length <= 8_192));
  more.click();
  assert.equal(shown(), long);
  assert.equal(more.hidden, true);
});

test("a result of megabytes is shown a megabyte at a time, with no character torn or lost", () => {
  const long = "😀".repeat(1_300_000);
  part("tool_result", { content: long });
  lane.paint();
  const more = lane.el.querySelector("button");
  assert.equal(more.textContent, "Show 1 MB more of 2.4 MB");
  let presses = 0;
  while (!more.hidden) {
    more.click();
    assert.ok(++presses < 10);
  }
  assert.equal(lane.el.querySelector(".nbstream-verbatim-box").textContent, long);
});

test("seams and gaps are lines in the text, which goes on as it came", async () => {
  say("text", "one wo");
  part("seam", { why: "the connection was lost" });
  say("text", "rd");
  part("gap", { expected: 12, got: 15 });
  part("gap", { expected: 20, got: 21 });
  say("reasoning", "hm");
  say("text", "s");
  assert.deepEqual(flow(), [
    ["text", "one wo"],
    ["mark", "continued here by a new generation: the connection was lost"],
    ["text", "rd"],
    ["mark", "missing: pieces 12-14"],
    ["mark", "missing: piece 20"],
    ["reasoning", "hm"],
    ["text", "s"],
  ]);
  assert.equal(await lane.source(), "one words");
});

test("a seam between a call and the text leaves the text a paragraph of its own", async () => {
  say("text", "one");
  part("tool_call", { index: 0, name: "look", args_delta: "{}" });
  part("seam");
  say("text", "two");
  part("seam");
  say("text", "three");
  assert.equal(await lane.source(), "one\n\ntwothree");
});

for (const [what, before, behind, rest] of [
  ["a fence", "a\n\n```py\nx = 1\n", "y = 2\n```\n", "b"],
  ["a fence that has only just begun", "a\n\n```p", "y\nx\n```\n", "b"],
  ["a longer fence", "~~~~\n~~~\n", "~~~\n~~~~\n", "b"],
  ["a table", "| a |\n|---|\n| 1 |\n", "| 2 |\n\n", "b"],
  ["a block of mathematics", "$$\nx\n", "y\n$$\n", "b"],
]) {
  test(`a seam never tears ${what}: its line waits below`, async () => {
    say("text", before);
    part("seam");
    say("text", behind.slice(0, 3));
    say("text", behind.slice(3) + rest);
    lane.paint();
    const [first, line, second] = lane.el.querySelector(".nbstream-flow").children;
    assert.match(line.className, /nbstream-seam/);
    assert.equal(second.textContent.trim(), rest);
    assert.ok(!first.textContent.includes(rest));
    assert.equal(await lane.source(), before + behind + rest);
  });
}

test("a call inside a block of code stands below it, and the block is whole", async () => {
  say("text", "Look:\n\n```py\na = 1\n");
  part("tool_call", { index: 0, id: "1", name: "look", args_delta: "{}" });
  part("tool_result", { id: "1", content: "1" });
  say("text", "# no heading\nb = 2\n```\nAfter.");
  assert.deepEqual(flow(), [["text", "Look:a = 1 # no heading b = 2"], ["tool", "Tool call look · done"], ["text", "After."]].map(dotless));
  assert.equal(lane.el.querySelector("pre").textContent, "a = 1\n# no heading\nb = 2\n");
  assert.equal(await lane.source(), "Look:\n\n```py\na = 1\n# no heading\nb = 2\n```\nAfter.");
});

test("a second call behind a block of code that a first one came into begins anew below both", async () => {
  say("text", "```py\na = 1\n");
  part("tool_call", { index: 0, id: "1", name: "one", args_delta: "{}" });
  say("text", "b = 2\n```");
  part("tool_call", { index: 1, id: "2", name: "two", args_delta: "{}" });
  say("text", "After.");
  assert.deepEqual(flow().map(([, text]) => text), ["a = 1 b = 2", "Tool call one running ...", "Tool call two running ...", "After."]);
});

for (const [what, before] of [
  ["a block of code whose last line is not ended", "```py\na = 1\n```"],
  ["a table", "| a |\n|---|\n| 1 |"],
  ["a line of code", "a ```b``` c"],
]) {
  test(`behind ${what} a call begins anew: the next text is none of it`, async () => {
    say("text", before);
    part("tool_call", { index: 0, id: "1", name: "look", args_delta: "{}" });
    say("text", "After.");
    assert.deepEqual(flow().slice(1).map(([, text]) => text), ["Tool call look running ...", "After."]);
    assert.equal(await lane.source(), `${before}\n\nAfter.`);
  });
}

test("text that is taken back is gone, also where a call stands between, and is counted", async () => {
  say("text", "one ");
  part("tool_call", { index: 0, name: "look", args_delta: "{}" });
  say("text", "two");
  part("truncate", { length: 2, taken: 5 });
  say("text", "ce");
  assert.deepEqual(flow().map(([, text]) => text), ["on", "Tool call look · running ...", "ce"].map((t) => dotless(["", t])[1]));
  part("truncate", { length: 3, taken: 1 });
  part("truncate", { length: 0, taken: 3 });
  part("truncate", { length: 0, taken: 0 });
  say("text", "anew");
  lane.paint();
  assert.equal(lane.el.querySelector(".nbstream-notes").textContent, "text was taken back 3 times");
  assert.equal(await lane.source(), "anew");
});

test("tool calls are taken back by their number", () => {
  for (const index of [0, 1, 2]) part("tool_call", { index, id: `${index}`, name: `look-${index}`, args_delta: "{}" });
  part("truncate", { of: "tool_call", length: 1 });
  assert.deepEqual(flow(), [["tool", "Tool call look-0 · running ..."]].map(dotless));
  part("tool_call", { index: 1, id: "3", name: "again", args_delta: "{}" });
  assert.equal(flow().length, 2);
});

test("the result of a call that was taken back is shown, as one that has no call", () => {
  part("tool_call", { index: 0, id: "1", name: "look", args_delta: "{}" });
  part("truncate", { of: "tool_call", length: 0 });
  part("tool_result", { id: "1", content: "found" });
  lane.paint();
  assert.deepEqual(flow(), [["tool", "Tool result done"]]);
  assert.equal(lane.el.querySelector("pre").textContent, "found");
});

test("reasoning can be taken back without the text", () => {
  say("reasoning", "hmm");
  say("text", "yes");
  part("truncate", { of: "reasoning", length: 1, taken: 2 });
  assert.deepEqual(flow(), [["reasoning", "h"], ["text", "yes"]]);
});

test("a refusal says that it is one, and is copied", async () => {
  say("refusal", "I will not.");
  assert.deepEqual(flow(), [["refusal", "RefusedI will not."]]);
  assert.equal(await lane.source(), "I will not.");
});

test("what nobody knows is counted in one line, and named a few times", () => {
  for (let i = 0; i < 20; i++) part("raw", { type: `kind-${i % 8}` });
  part("some_future_kind");
  part("usage", { input: 1 });
  part("agent_end", { status: "complete" });
  lane.paint();
  const { hidden, textContent } = lane.el.querySelector(".nbstream-notes");
  assert.equal(hidden, false);
  assert.match(textContent, /^not shown, of unknown kind: kind-0 \(3\), .*others \(7\)$/);
  assert.deepEqual(flow(), []);
});

test("in the text of an answer there is nothing but its text", () => {
  say("reasoning", "hm");
  say("text", "a");
  part("tool_call", { index: 0, name: "x", args_delta: "{}" });
  say("text", "b");
  part("seam", { why: "w" });
  say("text", "c");
  lane.paint();
  assert.deepEqual([...lane.el.querySelectorAll(".nbstream-text")].map((el) => el.textContent), ["a", "b", "c"]);
});

/** The dot before the facts is CSS. */
function dotless([what, text]) {
  return [what, text.replace(" · ", " ")];
}

test("the source of many short passages that only the log has is read in turn, many at once", async () => {
  const kept = lane;
  let [open, most] = [0, 0];
  const log = { text: "", refusal: "" };
  const asked = [];
  const windowing = /** @type {any} */ ({ windowed: true, add: (body) => body.text.forget(), grew() {}, later() {} });
  const reads = /** @type {any} */ ({
    text: async (_agent, kind, from, to) => {
      asked.push([kind, to - from]);
      most = Math.max(most, ++open);
      await null;
      open--;
      return [...log[kind]].slice(from, to).join("");
    },
  });
  const long = new Lane("assistant", { windowing, reads });
  for (let step = 0; step < 600; step++) {
    const kind = step === 300 ? "refusal" : "text";
    const text = `Step ${step} 🦜. ${"word ".repeat(200)}`;
    log[kind] += text;
    for (lane of [kept, long]) {
      say(kind, text);
      part("tool_call", { index: 0, id: `c${step}`, name: "look", args_delta: "{}" });
      part("tool_result", { id: `c${step}`, content: "ok" });
    }
  }
  assert.equal(await long.source(), await kept.source());
  assert.equal(most, 1);
  assert.deepEqual(asked.map(([kind]) => kind), ["text", "text", "refusal", "text", "text"]);
  assert.ok(asked.every(([, length]) => length <= 262_144));
});
