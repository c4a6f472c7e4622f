/** One kind of text of one agent: its Markdown, its place on the page, its source. */

import { Markdown } from "./markdown/markdown.js";
import { Paper } from "./paper.js";
import { cutInto, Source } from "./source.js";

/**
 * What all bodies of a view share; without it a body stands alone and keeps everything.
 * @typedef {object} Shared
 * @property {import("./windowing.js").Windowing} [windowing]
 * @property {import("./reads.js").Reads} [reads]
 * @property {import("./markdown/markdown.js").Parts} [parts] what the Markdown loads when it needs it
 */
/**
 * @typedef {object} Place which text of the log this is
 * @property {string} [agent]
 * @property {string} [kind]
 * @property {number} [from] code points of this agent and kind in other bodies before this one
 */

export class Body {
  #shared;
  #markdown;
  #changed = false;
  #ended = false;
  /** @type {(() => void)[] | null} what came while a part that was cut is read again */
  #waiting = null;
  #epoch = 0;

  /**
   * @param {HTMLElement} el
   * @param {Shared & Place} [options]
   */
  constructor(el, { agent = "assistant", kind = "text", from = 0, ...shared } = {}) {
    this.el = el;
    this.agent = agent;
    this.kind = kind;
    this.from = from;
    this.#shared = shared;
    this.paper = new Paper(el);
    this.text = new Source((start, end, reading) => this.#read(start, end, reading));
    this.paper.passes = () => shared.windowing?.passing ?? false;
    this.#markdown = new Markdown(this.paper, shared.parts);
    shared.windowing?.add(this);
  }

  /** Code points written, less those taken back. */
  get length() {
    return this.text.points;
  }

  /**
   * The Markdown as it came. Rejects when it has to be read from the log and cannot.
   * @param {import("./source.js").Reading} [reading]
   * @returns {Promise<string>}
   */
  source(reading) {
    return this.text.slice(0, this.length, reading);
  }

  /** @param {string} text */
  write(text) {
    this.#ended = false;
    const before = this.length;
    this.text.add(text);
    this.#shared.windowing?.grew(this, this.length - before);
    this.#inOrder(() => this.#markdown.write(text));
  }

  /** The text is over: its last line is whole. */
  end() {
    this.#ended = true;
    this.#inOrder(() => this.#markdown.end());
  }

  /** @returns {boolean} whether it is through; else paint again */
  paint() {
    if (!this.#changed || this.#waiting) return true;
    this.paper.showTail();
    this.#changed = !this.#markdown.paint();
    return !this.#changed;
  }

  /**
   * Take shown text back.
   * @param {number} length code points that stay
   */
  truncate(length) {
    if (length >= this.length) return;
    this.#shared.windowing?.grew(this, length - this.length);
    this.text.cut(length);
    const epoch = ++this.#epoch;
    this.#markdown.takeBack(this.paper.cut(length));
    this.#changed = true;
    this.#waiting = this.#ended ? [() => this.#markdown.end()] : [];
    const begin = this.paper.points;
    if (this.text.kept) this.#goOn(this.text.now(begin, length));
    else void this.#readAgain(begin, length, epoch);
  }

  /** Nothing of it is being written: all of it may be left out. More may come, after a resume. */
  get settled() {
    return this.#ended && !this.#changed && !this.#waiting;
  }

  /**
   * A group that was left out.
   * @param {import("./group.js").Group} group
   * @param {string} text of it
   */
  bringBack(group, text) {
    const sources = cutInto(text, group.lengths);
    if (!sources) throw new Error("this part of the log reads differently now");
    group.bringBack(sources, (piece) => this.#markdown.renderPiece(piece));
  }

  /** The open end, if it was left out. */
  showEnd() {
    if (!this.paper.tailOut) return;
    this.paper.showTail();
    this.#markdown.end();
  }

  /**
   * @param {number} begin
   * @param {number} end
   * @param {number} epoch of the text: cut again, it is another one
   */
  async #readAgain(begin, end, epoch) {
    try {
      const text = await this.text.slice(begin, end);
      if (epoch !== this.#epoch) return;
      this.#goOn(text);
      while (!this.paint()); // nobody else would
    } catch (why) {
      if (epoch !== this.#epoch) return;
      this.paper.missing = `Saved, but not on this page: ${/** @type {Error} */ (why).message}.`;
      this.#shared.windowing?.later(() => epoch === this.#epoch && this.#readAgain(begin, end, epoch));
    }
  }

  /** @param {string} text of the part that was cut, what came meanwhile is behind it */
  #goOn(text) {
    this.paper.missing = "";
    this.#markdown.write(text);
    for (const step of this.#waiting ?? []) step();
    this.#waiting = null;
    this.#changed = true;
  }

  /** @param {() => void} step */
  #inOrder(step) {
    this.#changed = true;
    if (this.#waiting) this.#waiting.push(step);
    else step();
  }

  /** @type {import("./source.js").Read} */
  async #read(start, end, reading) {
    const { reads } = this.#shared;
    if (!reads) throw new Error("the text cannot be read");
    return reads.text(this.agent, this.kind, this.from + start, this.from + end, reading);
  }
}
