/** Find, in a text that comes onto the page when the test lets it. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { window } from "../testing/dom.js";

for (const name of ["AbortController", "HTMLElement", "NodeFilter"]) globalThis[name] = window[name];
globalThis.Highlight = /** @type {any} */ (class extends Set {});
const marks = new Map();
globalThis.CSS = /** @type {any} */ ({ highlights: marks });

const { Find } = await import("../src/find.js");
const { Body } = await import("../src/body.js");

/** @type {InstanceType<typeof Find>} */
let find;
/** @type {() => void} */
let bring;
let shown = 0;
/** @type {AbortController} */
let owner;

beforeEach(() => {
  marks.clear();
  shown = 0;
  owner = new AbortController();
  const el = window.document.body.appendChild(window.document.createElement("div"));
  const body = new Body(el);
  body.write("a needle here\n\nand needle there\n\n");
  body.paint();
  const brought = new Promise((resolve) => (bring = () => resolve(undefined)));
  const pane = {
    el,
    windowing: { windowed: false, bodies: [body], bring: async (_body, at) => (await brought, body.paper.holding(at)?.group ?? null) },
    scroll: { topmost: null, show: () => shown++ },
    reveal() {},
  };
  find = new Find(/** @type {any} */ ({ panes: () => [pane], reads: {}, onShow() {}, signal: owner.signal }));
  window.document.body.append(find.el);
  find.open();
  /** @type {HTMLInputElement} */ (find.el.querySelector("input")).value = "needle";
});
afterEach(() => {
  owner.abort();
  window.document.body.replaceChildren();
});

const count = (/** @type {string} */ name) => marks.get(`nbstream-${name}`)?.size ?? 0;

test("a search that is closed while its text is on the way marks nothing and moves nobody", async () => {
  const stepping = find.step(false);
  await null;
  find.close();
  bring();
  await stepping;
  assert.deepEqual([count("marks"), count("found"), shown], [0, 0, 0]);
});

test("after two quick presses of Next only the second match is the current one", async () => {
  const steps = [find.step(false), find.step(false)];
  bring();
  await Promise.all(steps);
  assert.deepEqual([count("found"), shown, find.el.querySelector("[aria-live]")?.textContent], [1, 1, "2 of 2"]);
});
