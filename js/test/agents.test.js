import assert from "node:assert/strict";
import { test } from "node:test";

import { InOrder } from "../src/agents_in_order.js";
import { presentAgent } from "../src/state.js";
import { window } from "../testing/dom.js";

const part = (agent, kind, fields = {}) => ({ agent, kind, text: "", part: { kind, agent, ...fields } });
const say = (agent, text) => ({ agent, kind: "text", text, part: { kind: "text", agent, text } });
const inOrder = () => new InOrder(new window.AbortController().signal);
const shown = (order) => [...order.el.querySelectorAll("span")].map((el) => el.textContent);

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

test("in order: a name before each change of speaker, and text goes on behind what is painted", () => {
  const order = inOrder();
  order.write(say("a", "one "));
  order.write(say("a", "two"));
  order.shown = true;
  order.write(say("a", "!"));
  order.write(say("b", "<b>three</b>"));
  order.write(part("b", "tool_call", { index: 0, name: "look" }));
  order.write(part("b", "tool_call", { index: 0, args_delta: "{}" }));
  order.paint();
  assert.deepEqual(shown(order), ["\na one two!", "\nb <b>three</b>\n[calls look]\n"]);
  order.clear();
  assert.deepEqual(shown(order), []);
});

test("in order: what is kept is bounded, the oldest goes, and who speaks first is still named", () => {
  for (const speech of [1, 10_000]) {
    const order = inOrder();
    order.shown = true;
    let said = "";
    for (let i = 0; said.length < 300_000; i++) {
      const text = `${i} `.padEnd(speech, ".");
      order.write(say(`agent${speech === 1 ? i % 3 : 0}`, text));
      said += text;
      if (i % 100 === 0) order.paint();
    }
    order.paint();
    const text = shown(order).join("");
    assert.ok(text.length < 100_000, `${text.length}`);
    assert.ok(shown(order).length <= 2_000);
    assert.match(text, /^\nagent\d /);
    assert.ok(said.endsWith(shown(order).at(-1).slice(-20).replace(/.*agent\d /s, "")));
    assert.equal(order.el.querySelector(".nbstream-notes").hidden, false);
  }
});
