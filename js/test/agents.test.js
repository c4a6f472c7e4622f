import assert from "node:assert/strict";
import { test } from "node:test";

import { InOrder } from "../src/agents_in_order.js";
import { presentAgent } from "../src/state.js";
import { window } from "../testing/dom.js";

const part = (agent, kind, fields = {}) => ({ agent, kind, text: "", part: { kind, agent, ...fields } });
const say = (agent, text) => ({ agent, kind: "text", text, part: { kind: "text", agent, text } });
const inOrder = () => new InOrder(new window.AbortController().signal);
const shown = (order) => [...order.el.querySelectorAll(".nbstream-stretch")].map((el) => el.textContent.trim());

const LAST = {
  state: "streaming", line: "", actions: ["stop"], offset: 9, chars: 5, agents: { a: "stopped", b: "streaming" },
  lines: { a: "stopped by you", b: "streaming · 5 characters" }, buttons: { a: ["resume"], b: ["stop"] },
};

test("each agent has its own line and buttons, in their fixed order, and can be copied", () => {
  const a = presentAgent({ agent: "a", state: "stopped", link: "live", last: LAST, empty: false });
  assert.deepEqual([a.line, a.actions, a.busy], ["stopped by you", ["resume", "copy"], false]);
  const b = presentAgent({ agent: "b", state: "streaming", link: "live", last: LAST, empty: false });
  assert.deepEqual([b.line, b.actions, b.busy], ["streaming · 5 characters", ["stop", "copy"], true]);
});

test("without a kernel no agent has a button but Copy, and none seems to go on", () => {
  const b = presentAgent({ agent: "b", state: "streaming", link: "gone", last: LAST, empty: false });
  assert.deepEqual([b.line, b.actions, b.busy, b.link], ["cut off", ["copy"], false, "lost"]);
});

test("who speaks within an agent has its state and no buttons", () => {
  const { line, actions } = presentAgent({ agent: "b/pilot", state: "streaming", link: "live", last: LAST, empty: true });
  assert.deepEqual([line, actions], ["streaming", ["copy"]]);
});

test("in order: a name before each change of speaker, text is rendered and goes on behind what is painted", () => {
  const order = inOrder();
  order.write(say("a", "one "));
  order.write(say("a", "**two"));
  order.shown = true;
  order.write(say("a", "**!\n\n"));
  order.write(say("b", "<b>three</b> `four`"));
  order.write(part("b", "tool_call", { index: 0, name: "look" }));
  order.write(part("b", "tool_call", { index: 0, args_delta: "{}" }));
  order.write(say("b", "five"));
  order.paint();
  assert.deepEqual(shown(order), ["aone two!", "b<b>three</b> four", "[calls look]", "five"]);
  assert.equal(order.el.querySelector("strong").textContent, "two");
  order.clear();
  assert.deepEqual(shown(order), []);
});

test("in order: agents that speak at once do not cut each other's paragraphs, tables and code", () => {
  const texts = { a: "One *two three* four.\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\nEnd", b: "```py\nx = 1\n\ny = 2\n```\n\n- item **one**\n- two\n\nLast" };
  for (const size of [1, 3, 7]) {
    const order = inOrder();
    order.shown = true;
    for (let at = 0; at < 80; at += size) {
      for (const [agent, text] of Object.entries(texts)) if (text.slice(at, at + size)) order.write(say(agent, text.slice(at, at + size)));
      if (at % 2) order.paint();
    }
    order.paint(true);
    assert.equal(order.el.querySelector("em").textContent, "two three");
    assert.equal(order.el.querySelectorAll("td").length, 2);
    assert.deepEqual([...order.el.querySelectorAll("pre")].map((el) => el.textContent.trim()), ["x = 1\n\ny = 2"]);
    assert.deepEqual([...order.el.querySelectorAll("li")].map((el) => el.textContent.trim()), ["item one", "two"]);
    assert.match(shown(order).at(-1), /^(a?End|b?Last)$/);
  }
});

test("in order: nothing is rendered before it is shown", () => {
  const order = inOrder();
  order.write(say("a", "# one\n\n"));
  order.paint();
  assert.equal(order.el.querySelector(".nbstream-stretch"), null);
  order.shown = true;
  assert.equal(order.el.querySelector("h1").textContent, "one");
});

test("in order: what is kept is bounded, the oldest goes, and who speaks first is still named", () => {
  for (const [speech, end] of [[1, ""], [40, "\n\n"], [10_000, ""]]) {
    const order = inOrder();
    order.shown = true;
    let said = 0;
    for (let i = 0; said < 300_000; i++) {
      const text = `${i} `.padEnd(speech, ".") + end;
      order.write(say(`agent${speech < 100 ? i % 3 : 0}`, text));
      said += text.length;
      if (i % 1000 === 0) order.paint();
    }
    order.paint();
    const text = shown(order).join("");
    assert.ok(text.length < 100_000, `${text.length}`);
    assert.ok(shown(order).length <= 2_000);
    assert.match(text, /^agent\d/);
    assert.equal(order.el.querySelector(".nbstream-notes").hidden, false);
  }
});
