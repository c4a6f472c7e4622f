/** Which of many short texts are on the page: a layout of our own gives each 100 px, one below the other. */

import assert from "node:assert/strict";
import test from "node:test";

import { window } from "../testing/dom.js";

globalThis.getSelection = () => null;
const { Body } = await import("../src/body.js");
const { Windowing } = await import("../src/windowing.js");

const BODIES = 1_000;
const PX = 100;
const text = (/** @type {number} */ n) => `First ${n}.\n\nSecond ${n}.\n\nLast ${n}.`;

let measured = 0;
let scrolled = 0;
window.Element.prototype.getBoundingClientRect = function () {
  measured++;
  const place = this.closest("[data-place]");
  const top = place ? Number(place.dataset.place) * PX - scrolled : 0;
  const height = place ? PX : 500;
  return { top, bottom: top + height, height };
};

/** @param {object} [reads] */
function page(reads) {
  measured = scrolled = 0;
  const owner = new AbortController();
  const box = window.document.body.appendChild(window.document.createElement("div"));
  Object.defineProperties(box, { clientHeight: { value: 500 }, offsetParent: { value: window.document.body } });
  const windowing = new Windowing(box, { keep: (change) => change(), whole: 10_000, signal: owner.signal });
  /** @type {InstanceType<typeof Body>[]} */
  const bodies = [];
  const add = () => {
    const el = box.appendChild(window.document.createElement("div"));
    el.dataset.place = String(bodies.length);
    const body = new Body(el, { windowing, reads: reads ?? { text: async (_agent, _kind, /** @type {number} */ from, /** @type {number} */ to) => text(bodies.indexOf(body)).slice(from, to) } });
    body.write(text(bodies.length));
    body.end();
    body.paint();
    bodies.push(body);
    windowing.update();
  };
  return { box, bodies, windowing, owner, add };
}

/** What waits for a moment has had it. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

test("short texts far from the reader leave the page whole, and a paint looks only at those near him or not yet gone", async () => {
  const { box, bodies, windowing, owner, add } = page();
  const costs = [];
  for (let n = 0; n < BODIES; n++) {
    const before = measured;
    add();
    costs.push(measured - before);
  }
  const sum = (/** @type {number[]} */ part) => part.reduce((total, cost) => total + cost, 0);
  const [first, last] = [sum(costs.slice(500, 550)), sum(costs.slice(-50))];
  assert.ok(last < 1.5 * first, `${first} measures, then ${last}`);
  const there = bodies.filter(({ el }) => /Last/.test(el.textContent ?? "")).length;
  assert.ok(there < 100, `${there} of ${BODIES} on the page`);
  assert.equal(windowing.points, bodies.reduce((points, { length }) => points + length, 0));
  assert.equal(bodies.at(-1)?.paper.tailOut, false, "the newest stays");

  scrolled = 500 * PX;
  windowing.update();
  await settled();
  assert.equal(bodies[502]?.el.textContent?.replaceAll(/\s/g, ""), text(502).replaceAll(/\s/g, ""));
  windowing.update();
  assert.ok(!/First/.test(bodies[2]?.el.textContent ?? ""));
  assert.ok(box.textContent !== null && box.textContent.length < 10_000);
  owner.abort();
});

test("a text that goes on after it was left out shows its end again", () => {
  const { bodies, windowing, owner, add } = page();
  for (let n = 0; n < 700; n++) add();
  const body = /** @type {InstanceType<typeof Body>} */ (bodies[300]);
  assert.ok(body.paper.tailOut);
  body.write(" And on.\n\nMore");
  body.paint();
  windowing.update();
  assert.match(body.el.textContent ?? "", /Last 300. And on.\s*More$/);
  owner.abort();
});

test("without a kernel nothing more is left out and nothing is asked", async () => {
  let asked = 0;
  const { bodies, windowing, owner, add } = page({ text: async () => Promise.reject(new Error(`asked ${++asked} times`)) });
  for (let n = 0; n < 300; n++) add();
  windowing.frozen = true;
  for (let n = 0; n < 300; n++) add();
  assert.ok(bodies.slice(300).every(({ el }) => /First.*Last/s.test(el.textContent ?? "")));
  scrolled = 100 * PX;
  windowing.update();
  await settled();
  assert.equal(asked, 0);
  owner.abort();
});

test("text that is passed by at full speed is not made, and is the same when somebody comes there", async () => {
  const parts = Array.from({ length: 3_000 }, (_, n) =>
    [`Paragraph ${n} with [a link][l${n % 7}].`, `- item ${n}\n- more\n\n  of it`, `\`\`\`python\nvalue[${n}] = {1: 2}\n\`\`\``, `[l${n % 7}]: https://example.org/${n}`, `| a | b |\n|---|---|\n| ${n} | c |`][n % 5],
  );
  const whole = `${parts.join("\n\n")}\n\nThe end, [late][l3].\n`;
  const { windowing, owner, box } = page();
  const body = new Body(box.appendChild(window.document.createElement("div")), { windowing, reads: { text: async (_agent, _kind, from, to) => [...whole].slice(from, to).join("") } });
  const write = (/** @type {number} */ from, /** @type {number} */ to, step = 700) => {
    for (; from < to; from += step) {
      body.write(whole.slice(from, Math.min(to, from + step)));
      while (!body.paint());
      windowing.update();
    }
  };
  write(0, 10_050);
  assert.ok(windowing.windowed);
  windowing.waiting = 100_000;
  write(10_050, whole.length - 1_500);
  const passed = [...body.paper.groups()].filter(({ out }) => out);
  windowing.waiting = 0;
  write(whole.length - 1_500, whole.length);
  body.end();
  assert.ok(passed.length > 2 && passed.every(({ el, points }) => el.childElementCount === 0 && points > 0), `${passed.length} groups passed`);
  assert.equal([...body.paper.groups()].reduce((sum, { points }) => sum + points, 0), body.paper.points);
  assert.ok(passed.every(({ all }) => all.every(({ source, el }) => source === "" && el === null)), "nothing of it is kept");

  for (const group of [...body.paper.groups()]) {
    if (group.out) body.bringBack(group, await body.text.slice(group.from, group.from + group.points));
  }
  const fresh = new Body(window.document.createElement("div"));
  fresh.write(whole);
  fresh.end();
  while (!fresh.paint());
  const pieces = (/** @type {Body} */ { paper }) => [...paper.groups()].flatMap(({ el }) => [...el.children].map((piece) => piece.outerHTML));
  assert.deepEqual(pieces(body), pieces(fresh));
  assert.equal(body.paper.tail.innerHTML, fresh.paper.tail.innerHTML);
  owner.abort();
});
