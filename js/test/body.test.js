import assert from "node:assert/strict";
import test from "node:test";

import { window } from "../testing/dom.js";

const { Body } = await import("../src/body.js");
const { Windowing } = await import("../src/windowing.js");
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

test("a part that was cut and cannot be read yet is asked for again, says why it is not there, and is never taken for text", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const text = paragraphs(200);
  let answers = false;
  const reads = {
    text: async (/** @type {string} */ _agent, /** @type {string} */ _kind, /** @type {number} */ from, /** @type {number} */ to) => {
      if (!answers) throw new Error("the kernel does not answer");
      return [...text].slice(from, to).join("");
    },
  };
  const box = window.document.createElement("div");
  const windowing = new Windowing(box, { keep: (change) => change(), signal: new AbortController().signal });
  const { el, it } = body({ reads, windowing });
  it.write(text);
  it.paint();
  it.text.forget();
  it.truncate(1_000);
  it.write(" On it goes.\n\nMore.\n\n");
  it.paint();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 5; i++) await Promise.resolve();
    assert.match(it.paper.tail.dataset.missing ?? "", /the kernel does not answer/);
    assert.doesNotMatch(el.textContent ?? "", /does not answer/);
    if (round === 1) answers = true;
    t.mock.timers.tick(2_000);
    if (answers) break;
  }
  for (let i = 0; i < 5; i++) await Promise.resolve();
  assert.equal(it.paper.tail.dataset.missing, undefined);
  assert.equal(shown(el), whole([...text].slice(0, 1_000).join("") + " On it goes.\n\nMore.\n\n"));
  let from = 0;
  for (const group of it.paper.groups()) {
    assert.equal(group.from, from);
    from += group.points;
  }
});

test("what was defined before text that is taken back stays defined, what it defined is a link no more", () => {
  const { el, it } = body();
  it.write("[a]: https://a.test\n\n[a] and [b]\n\n[b]: https://b.test\n\nMore [b].\n\nend\n\n");
  it.paint();
  const links = () => [...el.querySelectorAll("a")].map((link) => link.textContent);
  assert.deepEqual(links(), ["a", "b", "b"]);
  it.truncate("[a]: https://a.test\n\n[a] and [b]\n\n".length);
  it.write("More [a].\n\nThe end.\n\n");
  it.paint();
  assert.deepEqual(links(), ["a", "a"]);
  const group = /** @type {import("../src/group.js").Group} */ (it.paper.last);
  it.paper.leaveOut(group, 100);
  it.bringBack(group, it.text.now(0, group.points));
  assert.deepEqual(links(), ["a", "a"]);
  it.write("[b]: https://b.test/again\n\nend\n\nend\n\n");
  it.paint();
  assert.deepEqual(links(), ["a", "b", "a"]);
});

test("text that was over and is taken back is over still: its last line is whole", () => {
  const { el, it } = body();
  it.write("[a]\n\n[a]: https://a.test\n\nlast");
  it.end();
  it.paint();
  it.truncate("[a]\n\n[a]: https://a.test".length);
  it.paint();
  assert.equal(el.querySelector("a")?.getAttribute("href"), "https://a.test");
});

test("pieces that are left out hold nothing, whoever waits for them, and are not made again before they come back", () => {
  const { el, it } = body();
  it.write("Says [1].\n\n".repeat(200));
  it.paint();
  const pieces = [...it.paper.groups()].flatMap((group) => group.all);
  for (const group of it.paper.groups()) it.paper.leaveOut(group, 100);
  for (const piece of pieces) assert.deepEqual([piece.el, piece.source], [null, ""]);
  it.write("[1]: https://one.test\n\nend\n\nend\n\n");
  it.paint();
  const [first] = it.paper.groups();
  assert.ok(pieces.slice(0, FAN).every((piece) => piece.el === null));
  it.bringBack(/** @type {import("../src/group.js").Group} */ (first), it.text.now(0, first?.points ?? 0));
  assert.equal(el.querySelectorAll("a").length, FAN + 1);
});

test("a piece that came back still learns of a definition", () => {
  const { el, it } = body();
  it.write("Says [1].\n\n".repeat(65));
  it.paint();
  const [group] = it.paper.groups();
  if (!group) throw new Error("no group");
  it.paper.leaveOut(group, 100);
  it.bringBack(group, it.text.now(0, group.points));
  it.write("[1]: https://one.test\n\nend\n\nend\n\n");
  it.paint();
  assert.equal(el.querySelectorAll("a").length, 65);
});

test("in a long text where nothing that is left out waits any more, what came back still learns of a definition", () => {
  const { el, it } = body();
  for (let i = 0; i < 300; i++) {
    it.write(`Line [${i}] of a log, and [all].\n\n`.repeat(32));
    it.paint();
    for (const group of it.paper.groups()) {
      if (!group.out && group !== it.paper.last) it.paper.leaveOut(group, 100);
    }
  }
  const [first] = it.paper.groups();
  for (let i = 0; i < 3; i++) {
    it.bringBack(first, it.text.now(0, first.points));
    if (i < 2) it.paper.leaveOut(first, 100);
  }
  it.write("[all]: https://all.test\n\nend\n\nend\n\n");
  it.paint();
  assert.equal(first.el.querySelectorAll("a").length, FAN);
});

test("a picture that the reader asked for stays: while text comes, when it is final, and when it was left out", () => {
  const { el, it } = body();
  const standing = () => [el.querySelectorAll("img").length, el.querySelectorAll("button").length];
  it.write("See ![cat](https://x.test/cat.png) and");
  it.paint();
  el.querySelector("button").click();
  const img = el.querySelector("img");
  it.write(" more ![dog](https://x.test/dog.png)");
  it.paint();
  assert.deepEqual(standing(), [1, 1], "one is asked for, not the other");
  assert.equal(el.querySelector("img"), img, "nothing is loaded again");
  it.write("\n\nNext\n\nLast");
  it.paint();
  assert.deepEqual(standing(), [1, 1]);
  const [group] = it.paper.groups();
  const text = group.all.map((piece) => piece.source).join("");
  it.paper.leaveOut(group, 100);
  assert.deepEqual(standing(), [0, 0]);
  it.bringBack(group, text);
  assert.deepEqual(standing(), [1, 1]);
  assert.equal(whole("![cat](https://x.test/cat.png)").length, 0);
});

test("find looks through case, space and emphasis, and takes a query literally", () => {
  const find = (/** @type {string} */ text, /** @type {string} */ query) => matchesIn(text, /** @type {RegExp} */ (pattern(query)));
  assert.deepEqual(find("🦜 What is **Not**\n_in_ (a+b)", "is not in"), [7]);
  assert.deepEqual(find("🦜🦜 (A+B) (a+b)", "(a+b)"), [3, 9]);
  assert.deepEqual(find("a-b [x]", "[x]"), [4]);
  assert.equal(pattern("  "), null);
});
