/**
 * One agent's part of the answer: reasoning folded above, the text, a refusal, and a count of everything else.
 */

import { Body } from "./body.js";

/** @typedef {import("./records.js").Write} Write */

export class Lane {
  el = document.createElement("div");
  #shared;
  #heading = document.createElement("div");
  #notes = document.createElement("div");
  /** @type {Map<string, Body>} */
  #bodies = new Map();
  /** @type {Map<string, number>} */
  #counts = new Map();

  /**
   * @param {string} agent
   * @param {import("./body.js").Shared} [shared] what the bodies of all lanes share
   */
  constructor(agent, shared = {}) {
    this.agent = agent;
    this.#shared = shared;
    this.el.className = "nbstream-lane";
    this.el.dataset.agent = agent;
    this.#heading.className = "nbstream-agent";
    this.#heading.textContent = agent;
    this.#heading.setAttribute("role", "heading");
    this.#heading.setAttribute("aria-level", "4");
    this.#notes.className = "nbstream-notes";
    this.#notes.hidden = true;
    const text = document.createElement("div");
    text.className = "nbstream-text jp-RenderedHTMLCommon";
    this.#bodies.set("text", new Body(text, { ...shared, agent, kind: "text" }));
    this.el.append(this.#heading, text, this.#notes);
  }

  /** @param {boolean} named show whose words these are */
  set named(named) {
    this.#heading.hidden = !named;
  }

  /**
   * The Markdown as it came.
   * @param {import("./source.js").Reading} [reading]
   * @returns {Promise<string>}
   */
  async source(reading) {
    const texts = await Promise.all(["text", "refusal"].map((kind) => this.#bodies.get(kind)?.source(reading) ?? ""));
    return texts.filter(Boolean).join("\n\n");
  }

  /** @param {Write} write */
  write({ kind, text }) {
    if (kind === "text" || kind === "reasoning" || kind === "refusal") this.#body(kind).write(text);
    else this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  /** The answer is over: its last line is whole. */
  end() {
    for (const body of this.#bodies.values()) body.end();
  }

  paint() {
    for (const body of this.#bodies.values()) body.paint();
    if (this.#counts.size === 0) return;
    this.#notes.hidden = false;
    this.#notes.textContent = [...this.#counts].map(([kind, n]) => (n > 1 ? `${kind} (${n})` : kind)).join(", ");
  }

  /** @param {"text" | "reasoning" | "refusal"} kind */
  #body(kind) {
    const known = this.#bodies.get(kind);
    if (known) return known;
    const el = document.createElement("div");
    el.className = "jp-RenderedHTMLCommon";
    if (kind === "reasoning") {
      const details = document.createElement("details");
      details.className = "nbstream-reasoning";
      const summary = document.createElement("summary");
      summary.textContent = "Reasoning";
      details.append(summary, el);
      this.#heading.after(details);
    } else {
      el.classList.add("nbstream-refusal");
      this.#notes.before(el);
    }
    const body = new Body(el, { ...this.#shared, agent: this.agent, kind });
    this.#bodies.set(kind, body);
    return body;
  }
}
