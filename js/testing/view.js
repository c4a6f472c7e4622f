/** A view of an answer in a DOM of jsdom, and the kernel's side of its messages in the hands of the test. */

import { mock } from "node:test";

import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!doctype html><body></body>", { pretendToBeVisual: true });
/** jsdom lays nothing out, so there is nothing to observe. */
class Nothing {
  observe() {}
  disconnect() {}
}
Object.assign(globalThis, { IntersectionObserver: Nothing, MutationObserver: window.MutationObserver, ResizeObserver: Nothing });
for (const name of ["document", "DOMParser", "Element", "HTMLElement", "Node", "Text", "ShadowRoot", "AbortController", "AbortSignal", "innerHeight"]) {
  globalThis[name] = window[name];
}
if (!globalThis.navigator) globalThis.navigator = window.navigator; // node has one since version 21
globalThis.addEventListener = window.addEventListener.bind(window);
globalThis.getSelection = window.getSelection.bind(window);
globalThis.requestAnimationFrame = (run) => setTimeout(run, 16);
globalThis.cancelAnimationFrame = (frame) => clearTimeout(frame);

const { Transport } = await import("../src/transport.js");
const { View } = await import("../src/view.js");
const { showPlain } = await import("../src/plain.js");

export const STREAMING = { state: "streaming", line: "streaming", actions: ["stop"], offset: 0, chars: 0 };
export const COMPLETE = { state: "complete", line: "complete", actions: ["regenerate"], offset: 0, chars: 0 };

/** A page of one record a text, behind record `after`; `off` counts from the beginning of the stream. */
export function page({ stream = "one", after = -1, texts = [], off = 0, tail, state = STREAMING, agent = "assistant" } = {}) {
  const upto = after + texts.length;
  const text = texts.join("");
  const parts = text ? [{ kind: "text", agent, sequence: after + 2, off, text }] : [];
  return { type: "page", stream, after, upto, parts, state: { ...state, offset: Math.max(upto, tail ?? -1) }, ...(tail === undefined ? {} : { tail }) };
}

class Shown {
  /** What the kernel has heard. */
  sent = /** @type {any[]} */ ([]);
  owner = new AbortController();
  el = document.body.appendChild(document.createElement("div"));
  #receive;
  #connection;

  constructor() {
    const model = {
      get: (/** @type {string} */ name) => (name === "stream" ? "one" : ""),
      send: (/** @type {any} */ message) => this.sent.push(message),
      on: (/** @type {string} */ _, /** @type {any} */ receive) => (this.#receive = receive),
      widget_manager: {
        kernel: { connectionStatusChanged: { connect: (/** @type {any} */ slot) => (this.#connection = slot), disconnect: () => {} } },
      },
    };
    this.transport = new Transport(model, this.owner.signal);
  }

  get root() {
    return this.el.querySelector(".nbstream");
  }

  /** @param {any} message */
  receive(message) {
    this.#receive(message);
  }

  /** @param {"connected" | "disconnected"} status */
  connection(status) {
    this.#connection(null, status);
  }

  /** Requests of a type since it was last asked for. @param {string} type */
  heard(type) {
    const found = this.sent.filter((message) => message.type === type);
    this.sent = this.sent.filter((message) => message.type !== type);
    return found;
  }

  end() {
    this.owner.abort();
    this.el.remove();
  }
}

/** What the engine shows. */
export class ShownView extends Shown {
  /** @param {{load(name: string): Promise<any>}} [parts] */
  constructor(parts) {
    super();
    this.view = new View({ transport: this.transport, parts: /** @type {any} */ (parts) }, this.el, this.owner.signal);
  }
}

/** What the loader shows without the engine. */
export class ShownPlain extends Shown {
  constructor() {
    super();
    showPlain(this.transport, this.el, this.owner.signal);
  }
}

/** Let mocked time pass, with the frames and messages in it. @param {number} ms */
export async function pass(ms, step = 16) {
  for (let passed = 0; passed < ms; passed += step) {
    mock.timers.tick(Math.min(step, ms - passed));
    await new Promise((resolve) => setImmediate(resolve));
  }
  // What is said behind a frame is a message, and comes when it comes.
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
