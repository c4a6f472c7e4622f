/**
 * What several agents said, in the order of the log: paragraph by paragraph, the speaker's name before each change of
 * speaker. Agents that stream at once cut each other off in the middle of a word: a paragraph, a table or a block of
 * code goes on where it began, until it is over. Nothing is rendered before it is shown.
 */

import { Body } from "./body.js";
import { Breaks } from "./breaks.js";
import { element } from "./elements.js";
import { Scroll } from "./scroll.js";

/** UTF-16 units that are kept: the newest. The panes have all. */
const MOST_UNITS = 65_536;
/** Stretches that are kept: agents that say little at a time make many. */
const MOST_STRETCHES = 2_000;
/** A longer speech is several stretches, so that its beginning can go: where it may be broken, if such a place comes. */
const STRETCH_UNITS = 4_096;
const LONGEST_UNITS = 16_384;
/** A paragraph ends with a blank line. */
const BLANK = /(^|\n)[ \t\r]*\n$/;
const LINE_UNITS = 200;

/**
 * @typedef {object} Stretch
 * @property {string} agent
 * @property {boolean} named the speaker changes here
 * @property {string} aside what is said of it that is no text
 * @property {string} text
 * @property {HTMLElement | null} el
 * @property {import("./body.js").Body | null} body
 * @property {number} written UTF-16 units in the body
 * @property {boolean} over nothing more comes
 * @property {boolean} ended its last line is whole
 */

export class InOrder {
  el = element("nbstream-in-order");
  #box = element("nbstream-box");
  #content = element("nbstream-content");
  #note = element("nbstream-notes");
  #parts;
  /** @type {Stretch[]} */
  #stretches = [];
  /** The paragraph of each agent that is not over. @type {Map<string, {stretch: Stretch, breaks: Breaks}>} */
  #open = new Map();
  #units = 0;

  /**
   * @param {AbortSignal} signal
   * @param {import("./parts.js").Parts} [parts]
   */
  constructor(signal, parts) {
    this.#parts = parts;
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
    if (kind === "text" || kind === "refusal") this.#say(agent, text);
    else this.#saySomethingElse(agent, aside(part));
    while (this.#stretches.length > 1 && (this.#units > MOST_UNITS || this.#stretches.length > MOST_STRETCHES)) this.#forget();
  }

  /** @param {boolean} [ended] every last line is whole */
  paint(ended = false) {
    if (!this.shown) return;
    for (const stretch of this.#stretches) {
      if (!stretch.el) this.#content.append((stretch.el = begin(stretch)));
      if (stretch.aside) continue;
      const { text, written, over } = stretch;
      if (!stretch.body) {
        const el = stretch.el.appendChild(element("jp-RenderedHTMLCommon"));
        stretch.body = new Body(el, { agent: stretch.agent, ...(this.#parts && { parts: this.#parts }) });
      }
      if (written < text.length) {
        stretch.body.write(text.slice(written));
        stretch.written = text.length;
        stretch.ended = false;
      }
      if (!stretch.ended && (over || ended)) {
        stretch.body.end();
        stretch.ended = true;
      }
      while (!stretch.body.paint());
    }
  }

  clear() {
    this.#stretches = [];
    this.#open.clear();
    this.#units = 0;
    this.#note.hidden = true;
    this.#content.replaceChildren(this.#note);
    this.scroll.reset();
  }

  /**
   * @param {string} agent
   * @param {string} text
   */
  #say(agent, text) {
    for (let rest = text; rest; ) {
      let open = this.#open.get(agent);
      if (!open) this.#open.set(agent, (open = { stretch: this.#begin(agent), breaks: new Breaks() }));
      const { stretch, breaks } = open;
      const { length } = stretch.text;
      // Who speaks alone goes on, paragraph by paragraph, as long as that is not too long.
      const alone = stretch === this.#stretches.at(-1) && length < STRETCH_UNITS;
      if (!alone && ((breaks.safe && BLANK.test(stretch.text.slice(-LINE_UNITS))) || length >= LONGEST_UNITS)) {
        this.#end(agent);
        continue;
      }
      const at = breaks.read(rest, !alone);
      stretch.text += rest.slice(0, at);
      this.#units += at;
      rest = rest.slice(at);
    }
  }

  /**
   * @param {string} agent
   * @param {string} says that is no Markdown of its
   */
  #saySomethingElse(agent, says) {
    if (!says) return;
    // A block of code that is open would turn all that follows inside out.
    if (!this.#open.get(agent)?.breaks.inFence) this.#end(agent);
    this.#begin(agent, says);
  }

  /** @param {string} agent whose paragraph is over */
  #end(agent) {
    const open = this.#open.get(agent);
    if (open) open.stretch.over = true;
    this.#open.delete(agent);
  }

  /**
   * @param {string} agent
   * @param {string} [aside]
   * @returns {Stretch}
   */
  #begin(agent, aside = "") {
    const named = this.#stretches.at(-1)?.agent !== agent;
    const stretch = { agent, named, aside, text: "", el: null, body: null, written: 0, over: false, ended: false };
    this.#stretches.push(stretch);
    this.#units += aside.length;
    return stretch;
  }

  #forget() {
    const { agent, text, aside, el } = /** @type {Stretch} */ (this.#stretches[0]);
    if (this.#open.get(agent)?.stretch === this.#stretches[0]) this.#end(agent);
    this.#stretches.shift();
    const first = /** @type {Stretch} */ (this.#stretches[0]);
    if (!first.named) first.el?.prepend(name(first.agent));
    first.named = true;
    el?.remove();
    this.#units -= text.length + aside.length;
    this.#note.hidden = false;
  }
}

/**
 * What is said of a part that is no text of the answer.
 * @param {import("./records.js").Part} part
 */
function aside({ kind, name, text }) {
  if (kind === "tool_call" && typeof name === "string") return `calls ${name}`;
  if (kind === "truncate") return "took text back";
  return kind === "late" ? `came late: ${text}` : "";
}

/** @param {Stretch} stretch */
function begin({ agent, named, aside }) {
  const el = element("nbstream-stretch");
  if (named) el.append(name(agent));
  if (aside) el.append(Object.assign(element("nbstream-notes"), { textContent: `[${aside}]` }));
  return el;
}

/** @param {string} agent */
function name(agent) {
  const el = Object.assign(element("nbstream-agent"), { textContent: agent });
  el.setAttribute("role", "heading");
  el.setAttribute("aria-level", "4");
  return el;
}
