import assert from "node:assert/strict";
import test from "node:test";

import { window } from "../testing/dom.js";

const { Body } = await import("../src/body.js");
const { FAN } = await import("../src/group.js");
const { matchesIn, pattern } = await import("../src/find.js");

const paragraphs = (/** @type {number} */ count, from = 0) =>
  Array.from({ length: count }, (_, i) => `Paragraph ${from + i} 🦜 says *so*.\n\n`).join("");

/** @param {object} [options] */
function body(options) {
  const el = window.document.createElement("div");
  return { el, it: new Body(el, options) };
}

/** What is shown, pieces and open end. @param {HTMLElement} el */
const shown = (el) => [...el.querySelectorAll(".nbstream-group")].map((group) => group.textContent).join("").replaceAll(/\s+/g, " ");

/** @param {string} text */
function whole(text) {
  const { el, it } = body();
  it.write(text);
  it.end();
  it.paint();
  return shown(el);
}

test("no parent has more than 64 children, and pieces and open end cover the source", async () => {
  const { el, it } = body();
  const text = paragraphs(FAN * FAN + 100);
  for (let at = 0; at < text.length; at += 5_000) {
    it.write(text.slice(at, at + 5_000));
    it.paint();
  }
  for (const parent of el.querySelectorAll(".nbstream-groups, .nbstream-group")) assert.ok(parent.children.length <= FAN);
  assert.equal(it.paper.sections.length, 2);
  assert.equal(await it.source(), text);
  let from = 0;
  for (const group of it.paper.groups()) {
    assert.equal(group.from, from);
    assert.equal(group.points, [...(group.pieces ?? []).map((piece) => piece.source).join("")].length);
    from += group.points;
  }
  assert.equal(from, it.paper.points);
});

test("text taken back is as if it had never come, wherever it is cut", async () => {
  const text = paragraphs(200);
  const length = [...text].length;
  for (const stays of [0, 1, 17, 23, 24, Math.floor(length / 2), length - 30, length - 1]) {
    const { el, it } = body();
    it.write(text);
    it.paint();
    it.truncate(stays);
    assert.equal(it.length, stays);
    it.write("And on.\n\nThe end.");
    it.end();
    it.paint();
    const left = [...text].slice(0, stays).join("") + "And on.\n\nThe end.";
    assert.equal(await it.source(), left);
    assert.equal(shown(el), whole(left));
  }
});

test("text taken back is read from the log where it is not kept, and what comes meanwhile follows it", async () => {
  const text = paragraphs(200);
  const asked = [];
  const reads = {
    text: async (/** @type {string} */ agent, /** @type {string} */ kind, /** @type {number} */ from, /** @type {number} */ to) => {
      asked.push([agent, kind]);
      return [...`##${text}`].slice(from, to).join("");
    },
  };
  const { el, it } = body({ agent: "planner", kind: "text", from: 2, reads });
  it.write(text);
  it.paint();
  it.text.forget();
  it.truncate(1_000);
  it.write(" On it goes.");
  it.paint();
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(shown(el), whole([...text].slice(0, 1_000).join("") + " On it goes."));
  assert.deepEqual(asked, [["planner", "text"]]);
});

test("a group that was left out comes back the same from its source", () => {
  const { el, it } = body();
  it.write(paragraphs(300));
  it.paint();
  const before = el.innerHTML.replaceAll(/ (style|class)="[^"]*"/g, "");
  const text = it.text.now(0, it.length);
  for (const group of it.paper.groups()) it.paper.leaveOut(group, 100);
  assert.equal(it.paper.sections[0]?.groups[0]?.el.childElementCount, 0);
  for (const group of it.paper.groups()) {
    it.bringBack(group, [...text].slice(group.from, group.from + group.points).join(""));
  }
  assert.equal(el.innerHTML.replaceAll(/ (style|class)="[^"]*"/g, ""), before);
});

test("find looks through case, space and emphasis, and takes a query literally", () => {
  const find = (/** @type {string} */ text, /** @type {string} */ query) => matchesIn(text, /** @type {RegExp} */ (pattern(query)));
  assert.deepEqual(find("🦜 What is **Not**\n_in_ (a+b)", "is not in"), [7]);
  assert.deepEqual(find("🦜🦜 (A+B) (a+b)", "(a+b)"), [3, 9]);
  assert.deepEqual(find("a-b [x]", "[x]"), [4]);
  assert.equal(pattern("  "), null);
});
