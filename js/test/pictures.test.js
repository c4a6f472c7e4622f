/** What happened, below the answer: its code and its drawings come when they are asked for, and nothing of them runs. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { COMPLETE, page, pass, ShownView, STREAMING } from "../testing/view.js";

const { Drawings: Pictures } = await import("../src/drawings.js");

/** @type {ShownView} */
let shown;
/** @type {string[]} */
let asked;
let loads = true;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  asked = [];
  loads = true;
  const load = async (/** @type {string} */ name) => {
    asked.push(name);
    if (!loads) throw new Error("the kernel is gone");
    return { Pictures };
  };
  shown = new ShownView({ load });
});
afterEach(() => {
  shown.end();
  mock.timers.reset();
});

const fold = () => /** @type {HTMLDetailsElement} */ (shown.root.querySelector("details.nbstream-happened"));
const panel = () => /** @type {HTMLElement | null} */ (shown.root.querySelector(".nbstream-pictures"));
const tab = (/** @type {string} */ name) => /** @type {HTMLElement} */ ([...panel().querySelectorAll("button")].find((el) => el.textContent === name));
const press = async () => {
  fold().querySelector("summary").click();
  await pass(32);
};
/** Answer the newest question. @param {Record<string, unknown>} answer */
const answer = async (answer, question = shown.heard("picture").at(-1)) => {
  shown.receive({ type: "picture", view: question.view, id: question.id, stream: question.stream, ...answer });
  await pass(16);
  return question.what;
};
const rest = (stream = "one") => shown.receive(page({ stream, texts: ["hello"], tail: 0, state: COMPLETE }));
const PROBE = '<img src=x onerror="canary()"><script>canary()</script>';
const SVG = `<svg xmlns="http://www.w3.org/2000/svg"><script>canary()</script></svg>`;

test("nothing is loaded or asked until it is opened, and closed again it asks no more", async () => {
  rest();
  assert.deepEqual([asked, panel(), fold().open], [[], null, false]);
  await press();
  assert.deepEqual([asked, fold().open, panel() !== null], [["pictures"], true, true]);
  assert.equal(await answer({ svg: SVG, text: PROBE }), "timeline");
  await press();
  shown.receive(page({ after: 0, state: STREAMING }));
  await pass(10_000);
  assert.deepEqual([fold().open, shown.heard("picture")], [false, []]);
});

test("the picture is an image, and the words are text", async () => {
  rest();
  await press();
  await answer({ svg: SVG, text: PROBE });
  const image = panel().querySelector("img");
  assert.equal(image.src, `data:image/svg+xml;charset=utf-8,${encodeURIComponent(SVG)}`);
  assert.ok(image.alt);
  assert.equal(panel().querySelector("pre").textContent, PROBE);
  assert.equal(panel().querySelectorAll("script, svg, [onerror]").length, 0);
  assert.equal(panel().querySelectorAll("img").length, 1);
});

test("the wire is a table of text nodes", async () => {
  rest();
  await press();
  await answer({ svg: SVG, text: "" });
  tab("On the wire").click();
  await pass(16);
  const row = ["0", "0.0 s", "", PROBE, PROBE];
  const head = ["record", "at", "since", "what", "place"];
  const what = await answer({ head, first: [row, ["", "1 s", "", "lost", ""]], more: "7 more", last: [row], summary: PROBE });
  assert.equal(what, "wire");
  const rows = [...panel().querySelectorAll("tr")].map((el) => [...el.children].map((cell) => cell.textContent));
  assert.deepEqual(rows, [head, row, ["", "1 s", "", "lost", ""], ["", "", "", "… 7 more …", ""], row]);
  assert.equal(panel().querySelectorAll("script, img, [onerror]").length, 0);
  assert.equal(tab("On the wire").getAttribute("aria-pressed"), "true");
});

test("while it is live it is drawn again, and once more at its end", async () => {
  shown.receive(page({ texts: ["hel"], tail: 0, state: STREAMING }));
  await press();
  await answer({ svg: SVG, text: "1" });
  await pass(2_100);
  await answer({ svg: SVG, text: "2" });
  assert.equal(panel().querySelector("pre").textContent, "2");
  shown.receive(page({ after: 0, texts: ["lo"], off: 3, state: COMPLETE }));
  await pass(16);
  await answer({ svg: SVG, text: "3" });
  await pass(60_000);
  assert.deepEqual([panel().querySelector("pre").textContent, shown.heard("picture")], ["3", []]);
});

test("of another answer it shows what happened to that one", async () => {
  rest();
  await press();
  await answer({ svg: SVG, text: "one" });
  rest("two");
  await pass(16);
  const [question] = shown.heard("picture").slice(-1);
  assert.equal(question.stream, "two");
  await answer({ svg: SVG, text: "two" }, question);
  assert.equal(panel().querySelector("pre").textContent, "two");
});

test("what cannot be read says why; where the code cannot come it says that, and tries again", async () => {
  rest();
  loads = false;
  await press();
  assert.equal(panel(), null);
  assert.match(fold().textContent, /the kernel is gone/);
  loads = true;
  await press();
  await press();
  await answer({ reason: "record 3 of stream one is damaged" });
  assert.match(panel().textContent, /record 3 of stream one is damaged/);
});
