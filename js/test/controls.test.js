import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { JSDOM } from "jsdom";

import { Controls } from "../src/controls.js";
import { keepKeys } from "../src/keys.js";

/** jsdom lays nothing out, so there is nothing to observe. */
class Nothing {
  observe() {}
  disconnect() {}
}
Object.assign(globalThis, { IntersectionObserver: Nothing, MutationObserver: Nothing, ResizeObserver: Nothing });

let root;
let controls;
let acted;
let view;

beforeEach(() => {
  ({ window: view } = new JSDOM("<body></body>", { pretendToBeVisual: true }));
  globalThis.document = view.document;
  root = view.document.body.appendChild(view.document.createElement("div"));
  acted = [];
  controls = new Controls(root, { onAction: (action) => acted.push(action), signal: new view.AbortController().signal });
});

const LIVE = { state: "streaming", link: "live", line: "streaming · 12 characters", actions: ["stop", "copy"], busy: true, empty: false };
const STOPPED = { ...LIVE, state: "stopped", line: "stopped by you", actions: ["resume", "regenerate", "copy"], busy: false };
const button = (name) => [...root.querySelectorAll("button")].find((one) => one.textContent === name);
const spoken = () => root.querySelector(".nbstream-said").textContent;
const names = () => [...root.querySelectorAll("button:not([hidden])")].map((one) => one.textContent);
const click = (one, more) => one.dispatchEvent(new view.MouseEvent("click", { bubbles: true, ...more }));

test("a new state is spoken, a new number in it is not", () => {
  controls.show(LIVE);
  assert.equal(spoken(), "");
  controls.show({ ...LIVE, line: "streaming · 13 characters" });
  assert.equal(spoken(), "");
  controls.show({ ...LIVE, line: "Stop was sent, the kernel has not answered yet", actions: ["stop", "interrupt", "copy"] });
  assert.equal(spoken(), "Stop was sent, the kernel has not answered yet");
  controls.show(STOPPED);
  assert.equal(spoken(), "stopped by you");
  assert.equal(root.querySelectorAll("[role=status]").length, 1);
  assert.equal(root.querySelector(".nbstream-state").textContent, "stopped by you");
});

test("the pace stands behind the line: for the mouse and for those who listen", () => {
  controls.show({ ...LIVE, why: "painted every 80 ms" });
  const line = root.querySelector(".nbstream-state");
  assert.equal(line.title, "streaming · 12 characters\npainted every 80 ms");
  assert.equal(view.document.getElementById(line.getAttribute("aria-describedby")).textContent, "painted every 80 ms");
  controls.show(LIVE);
  assert.deepEqual([line.title, line.hasAttribute("aria-describedby")], ["streaming · 12 characters", false]);
});

test("Copy of an empty answer is there and cannot be pressed", () => {
  controls.show({ ...LIVE, empty: true });
  assert.deepEqual(names(), ["Copy", "Stop"]);
  assert.equal(button("Copy").disabled, true);
  controls.show(LIVE);
  assert.equal(button("Copy").disabled, false);
});

test("Copy stands before the buttons that come and go, and what shows another answer at the other end", () => {
  const other = view.document.createElement("button");
  other.textContent = "In order";
  controls.add(other);
  controls.show(LIVE);
  assert.deepEqual(names(), ["Copy", "Stop", "In order"]);
  controls.show(STOPPED);
  assert.deepEqual(names(), ["Copy", "Resume", "Regenerate", "In order"]);
  assert.deepEqual([...root.querySelector(".nbstream-bar").children].slice(0, 3).map((el) => el.className), ["nbstream-actions", "nbstream-state", "nbstream-views"]);
});

test("focus stays when its button goes: on Copy, which harms nobody, else on the line", () => {
  controls.show(LIVE);
  button("Stop").focus();
  controls.show(STOPPED);
  assert.equal(view.document.activeElement, button("Copy"));
  button("Regenerate").focus();
  controls.show({ ...LIVE, state: "connecting", empty: true });
  const bar = root.querySelector(".nbstream-bar");
  assert.equal(view.document.activeElement, bar);
  button("Stop").focus();
  assert.equal(bar.hasAttribute("tabindex"), false);
});

test("a click that was meant for Stop does not hit what stands there now; a key, or a mouse that moves, does", () => {
  controls.show(LIVE);
  const actions = root.querySelector(".nbstream-actions");
  actions.matches = (selector) => selector === ":hover" || view.Element.prototype.matches.call(actions, selector);
  controls.show(STOPPED);
  click(button("Resume"), { detail: 1 });
  assert.deepEqual(acted, []);
  click(button("Resume"), { detail: 0 });
  assert.deepEqual(acted, ["resume"]);
  actions.dispatchEvent(Object.assign(new view.MouseEvent("pointermove"), { movementX: 3 }));
  click(button("Resume"), { detail: 1 });
  assert.deepEqual(acted, ["resume", "resume"]);
});

test("what became of a click is told in words and by a sign, twice in a row too", () => {
  controls.show(LIVE);
  controls.done("copy", "Copied.");
  assert.deepEqual([spoken(), "done" in button("Copy").dataset], ["Copied.", true]);
  const before = spoken();
  controls.done("copy", "Copied.");
  assert.notEqual(spoken(), before);
  controls.failed("copy", "The browser did not let it be copied.");
  assert.equal(spoken(), "The browser did not let it be copied.");
  assert.deepEqual(["done" in button("Copy").dataset, "failed" in button("Copy").dataset], [false, true]);
});

test("keys stay in the answer, but what the notebook has with Ctrl, Meta or Alt", () => {
  keepKeys(root, new view.AbortController().signal);
  const heard = [];
  view.document.body.addEventListener("keydown", (event) => heard.push(event.key));
  const press = (key, more) => button("Copy").dispatchEvent(new view.KeyboardEvent("keydown", { key, bubbles: true, ...more }));
  press("d");
  press("Enter", { shiftKey: true });
  press("Enter", { ctrlKey: true });
  press("s", { ctrlKey: true });
  press("s", { metaKey: true });
  assert.deepEqual(heard, ["s", "s"]);
});
