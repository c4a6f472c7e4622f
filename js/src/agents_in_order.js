/**
 * What several agents said, in the order of the log: one plain text, the speaker's name before each change of speaker.
 * It reads as it came; the panes have it rendered.
 */

import { element } from "./elements.js";
import { Scroll } from "./scroll.js";

/** UTF-16 units that are kept: the newest. The panes have all. */
const MOST_UNITS = 65_536;
/** Stretches that are kept: agents that take turns word by word make many. */
const MOST_STRETCHES = 2_000;
/** A longer speech is several stretches, so that its beginning can go. */
const STRETCH_UNITS = 4_096;

/** @typedef {{agent: string, named: boolean, text: string, el: HTMLElement | null, written: number}} Stretch */

export class InOrder {
  el = element("nbstream-in-order");
  #box = element("nbstream-box");
  #content = element("nbstream-content");
  #note = element("nbstream-notes");
  /** @type {Stretch[]} */
  #stretches = [];
  #units = 0;

  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.el.hidden = true;
    this.#box.tabIndex = 0;
    this.#box.setAttribute("role", "group");
    this.#box.setAttribute("aria-label", "All agents, in order");
    this.#note.textContent = "Only the newest part is shown in order. Side by side, and Copy, have all of it.";
    this.#box.append(this.#content);
    this.el.append(this.#box);
    this.scroll = new Scroll(this.#box, this.#content, signal);
    this.clear();
  }

  get shown() {
    return !this.el.hidden;
  }

  set shown(/** @type {boolean} */ shown) {
    this.el.hidden = !shown;
    this.scroll.following = true;
    this.scroll.keep(() => this.paint());
  }

  /** @param {import("./records.js").Write} write */
  write({ agent, kind, text, part }) {
    const says = kind === "text" || kind === "refusal" ? text : aside(part);
    if (!says) return;
    const last = this.#stretches.at(-1);
    if (last?.agent === agent && last.text.length < STRETCH_UNITS) last.text += says;
    else this.#stretches.push({ agent, named: last?.agent !== agent, text: says, el: null, written: 0 });
    this.#units += says.length;
    while (this.#stretches.length > 1 && (this.#units > MOST_UNITS || this.#stretches.length > MOST_STRETCHES)) this.#forget();
  }

  paint() {
    if (!this.shown) return;
    // What is not on the page yet is at the end.
    let first = this.#stretches.length;
    while (first > 0 && !isPainted(this.#stretches[first - 1])) first--;
    for (const stretch of this.#stretches.slice(Math.max(0, first))) {
      if (!stretch.el) this.#content.append((stretch.el = begin(stretch)));
      stretch.el.append(stretch.text.slice(stretch.written));
      stretch.written = stretch.text.length;
    }
  }

  clear() {
    this.#stretches = [];
    this.#units = 0;
    this.#note.hidden = true;
    this.#content.replaceChildren(this.#note);
    this.scroll.reset();
  }

  #forget() {
    const { text, el } = /** @type {Stretch} */ (this.#stretches.shift());
    const first = /** @type {Stretch} */ (this.#stretches[0]);
    if (!first.named && first.el) first.el.prepend(...name(first.agent));
    first.named = true;
    el?.remove();
    this.#units -= text.length;
    this.#note.hidden = false;
  }
}

/** @param {Stretch | undefined} stretch */
const isPainted = (stretch) => stretch?.el && stretch.written === stretch.text.length;

/**
 * What is said of a part that is no text of the answer.
 * @param {import("./records.js").Part} part
 */
function aside({ kind, name, text }) {
  if (kind === "tool_call" && typeof name === "string") return `\n[calls ${name}]\n`;
  if (kind === "truncate") return "\n[took text back]\n";
  return kind === "late" ? `\n[came late: ${text}]\n` : "";
}

/** @param {Stretch} stretch */
function begin({ agent, named }) {
  const el = document.createElement("span");
  if (named) el.append(...name(agent));
  return el;
}

/** @param {string} agent */
function name(agent) {
  const el = document.createElement("b");
  el.textContent = agent;
  return ["\n", el, " "];
}
