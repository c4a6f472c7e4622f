/** One kind of text of one agent: its Markdown, its place on the page, its source. */

import { Markdown } from "./markdown/markdown.js";

export class Body {
  #markdown;
  /** @type {string[]} */
  #source = [];
  #changed = false;

  /** @param {HTMLElement} el */
  constructor(el) {
    this.#markdown = new Markdown({ tail: el, append: (piece) => el.before(piece.el), replace: (piece, by) => piece.el.replaceWith(by) });
  }

  /** The Markdown as it came. @returns {Promise<string>} */
  async source() {
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
