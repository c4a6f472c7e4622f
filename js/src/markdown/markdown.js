/**
 * Markdown that streams: what is finished becomes pieces, what is open stands in the tail and is painted again.
 */

import { Blocks } from "./blocks.js";
import { createPaper } from "./dom.js";

/**
 * A finished piece of the document. Pieces come in the order of the source and cover it without a hole.
 * @typedef {object} Piece
 * @property {HTMLElement} el what stands on the page, one bounded element
 * @property {string} source the text it was made of, as it came
 * @property {Recipe} recipe what `renderPiece` needs beside the source to make the same element again
 */
/**
 * @typedef {object} Recipe
 * @property {boolean} starts whether the piece begins at a top-level block, so that parsing may begin anew there
 */
/**
 * Where a document stands.
 * @typedef {object} Paper
 * @property {HTMLElement} tail takes the open end
 * @property {(piece: Piece) => void} append takes a piece that is finished
 * @property {(piece: Piece, el: HTMLElement) => void} replace a late link definition changed a piece
 */

export class Markdown {
  #blocks = new Blocks();
  #paint;

  /** @param {Paper} paper */
  constructor(paper) {
    this.#paint = createPaper(paper.tail);
  }

  /**
   * Take more text; `paint` shows it.
   * @param {string} text
   */
  write(text) {
    this.#blocks.write(text);
  }

  paint() {
    this.#paint(this.#blocks.root);
  }

  /** No more text comes: the last line is whole. More may still be written, after a resume. */
  end() {
    this.#blocks.end();
  }
}
