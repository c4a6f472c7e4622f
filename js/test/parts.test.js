import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

globalThis.NBSTREAM_BUILD = "abc";
const { Parts } = await import("../src/parts.js");
const { Transport } = await import("../src/transport.js");

const SHARED = Symbol.for("nbstream.code");
const run = async (/** @type {any} */ code) => ({ ran: code });

/** A widget whose host has nothing but messages; `sent` is what its kernel has heard. */
class Widget {
  sent = /** @type {any[]} */ ([]);
  owner = new AbortController();
  #receive = /** @type {(message: any, buffers?: any[]) => void} */ (() => undefined);

  /** @param {(code: any) => Promise<any>} [runCode] @param {unknown} [engine] what the widget has brought along */
  constructor(runCode = run, engine = null) {
    const model = {
      get: (/** @type {string} */ name) => (name === "engine" ? engine : ""),
      send: (/** @type {any} */ message) => this.sent.push(message),
      on: (/** @type {string} */ _, /** @type {any} */ receive) => (this.#receive = receive),
    };
    this.parts = new Parts(new Transport(model, this.owner.signal), this.owner.signal, runCode);
  }

  /** @param {object} [more] @param {any[]} [buffers] */
  answer(more, buffers) {
    this.#receive({ type: "code", name: "engine", version: "abc", ...more }, buffers);
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  delete globalThis[SHARED];
  mock.timers.reset();
});

test("ten widgets that begin at once ask once and get the same module", async () => {
  const widgets = Array.from({ length: 10 }, () => new Widget());
  const loading = widgets.map(({ parts }) => parts.load("engine"));
  assert.deepEqual(widgets.map(({ sent }) => sent.length), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(widgets[0].sent[0], { type: "code", name: "engine", version: "abc", packed: true });
  widgets[0].answer({}, [new DataView(new ArrayBuffer(2))]);
  const modules = await Promise.all(loading);
  assert.equal(new Set(modules).size, 1);
  const late = new Widget();
  assert.equal(await late.parts.load("engine"), modules[0]);
  assert.deepEqual(late.sent, []);
});

test("a widget that is closed while it loads leaves the question to the next one", async () => {
  const [first, second, third] = [new Widget(), new Widget(), new Widget()];
  const gone = assert.rejects(first.parts.load("engine"));
  const others = [second.parts.load("engine"), third.parts.load("engine")];
  first.owner.abort();
  await gone;
  await settle();
  assert.deepEqual([second, third].map(({ sent }) => sent.length), [1, 0]);
  second.answer({ text: "x" });
  assert.deepEqual(await Promise.all(others), [{ ran: "x" }, { ran: "x" }]);
});

test("another notebook's kernel that does not answer is not waited for for ever", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const [hung, free] = [new Widget(), new Widget()];
  const never = hung.parts.load("engine");
  const loading = free.parts.load("engine");
  mock.timers.tick(3_000);
  await settle();
  free.answer({ text: "x" });
  assert.deepEqual(await loading, { ran: "x" });
  hung.answer({ text: "x" });
  await never;
});

test("what a page does not let run is an error for all who waited, and tried again by the next widget", async () => {
  const refuse = async () => Promise.reject(new TypeError("forbidden"));
  const [first, second] = [new Widget(refuse), new Widget(refuse)];
  const both = [first, second].map(({ parts }) => assert.rejects(parts.load("engine"), /forbidden/));
  first.answer({ text: "x" });
  await Promise.all(both);
  assert.deepEqual(second.sent, []);
  const next = new Widget();
  const loading = next.parts.load("engine");
  next.answer({ text: "x" });
  assert.deepEqual(await loading, { ran: "x" });
});

test("where the host drops buffers the code comes as text", async () => {
  const widget = new Widget();
  const loading = widget.parts.load("engine");
  widget.answer();
  assert.deepEqual(widget.sent.map(({ packed }) => packed), [true, false]);
  widget.answer({ text: "x" });
  assert.deepEqual(await loading, { ran: "x" });
});

test("an unanswered question is asked again, each time after twice as long", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const widget = new Widget();
  const loading = widget.parts.load("engine");
  for (let second = 0; second < 60; second++) mock.timers.tick(1_000);
  assert.equal(widget.sent.length, 4); // at 0, 5, 15 and 35 s
  widget.answer({ text: "x" });
  await loading;
  mock.timers.tick(600_000);
  assert.equal(widget.sent.length, 4);
});

test("an answer of another build is not taken; one that says there is none is an error that says what to do", async () => {
  const widget = new Widget();
  const loading = widget.parts.load("engine");
  widget.answer({ version: "other", text: "wrong" });
  widget.answer({ missing: true });
  await assert.rejects(loading, /restart the kernel/);
});

test("the engine that a widget brings is not asked for, unless the host made a text of it; parts are", async () => {
  const packed = new DataView(new ArrayBuffer(2));
  const widget = new Widget(run, packed);
  assert.deepEqual(await widget.parts.load("engine"), { ran: packed });
  assert.deepEqual(widget.sent, []);
  const part = widget.parts.load("math");
  await settle();
  widget.answer({ name: "math", version: "abc", text: "y" });
  assert.deepEqual(await part, { ran: "y" });

  delete globalThis[SHARED];
  const texts = new Widget(run, "H4sI");
  const loading = texts.parts.load("engine");
  texts.answer({ text: "x" });
  assert.deepEqual(await loading, { ran: "x" });
});
