/** One kind of text of one agent: its Markdown, its place on the page, its source. */

import { Markdown } from "./markdown/markdown.js";
import { indexBehind } from "./records.js";

export class Body {
  #markdown;
  /** @type {string[]} */
  #source = [];
  #changed = false;

  #el;

  /**
   * @param {HTMLElement} el
   * @param {object} [_options] whose text it is, and of which kind, from which code point on
   */
  constructor(el, _options) {
    this.#el = el;
    this.#markdown = this.#begin();
  }

  #begin() {
    const el = this.#el;
    return new Markdown({ tail: el, append: (piece) => el.before(piece.el), replace: (piece, by) => piece.el.replaceWith(by) });
  }

  /** @param {number} length code points that stay */
  truncate(length) {
    const text = this.#source.join("");
    const kept = text.slice(0, indexBehind(text, length));
    this.#el.replaceChildren();
    this.#source = [];
    this.#markdown = this.#begin();
    this.write(kept);
  }

  /**
   * The Markdown as it came.
   * @param {object} [_reading]
   * @returns {Promise<string>}
   */
  async source(_reading) {
    return this.#source.join("");
  }

  /** @param {string} text */
  write(text) {
    this.#source.push(text);
    this.#markdown.write(text);
    this.#changed = true;
  }

  /** The text is over: its last line is whole. */
  end() {
    this.#markdown.end();
    this.#changed = true;
  }

  paint() {
    if (this.#changed) this.#markdown.paint();
    this.#changed = false;
  }
}
