/**
 * Markdown that streams: what is finished becomes pieces, what is open stands in the tail and is painted again.
 *
 * A stand-in for the block-commit engine: it commits at blank lines outside of fences.
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
/** @typedef {{load: (name: string) => Promise<unknown>}} Parts */

/** @type {Recipe} */
const STARTS = { starts: true };

export class Markdown {
  #paper;
  #open = "";
  #searched = 0;
  #fence = "";

  /**
   * @param {Paper} paper
   * @param {Parts} [_parts]
   */
  constructor(paper, _parts) {
    this.#paper = paper;
  }

  /**
   * Take more text; `paint` shows it.
   * @param {string} text
   */
  write(text) {
    this.#open += text;
  }

  paint() {
    for (let end = this.#commits(); end > 0; end = this.#commits()) {
      const source = this.#open.slice(0, end);
      this.#open = this.#open.slice(end);
      this.#searched = 0;
      this.#paper.append({ el: renderPiece(source, STARTS), source, recipe: STARTS });
    }
    this.#paper.tail.replaceChildren(...(this.#open ? renderPiece(this.#open, STARTS, undefined, true).childNodes : []));
  }

  /** No more text comes: the last line is whole. More may still be written, after a resume. */
  end() {}

  /**
   * @param {string} source
   * @param {Recipe} recipe
   */
  renderPiece(source, recipe) {
    return renderPiece(source, recipe);
  }

  #commits() {
    for (;;) {
      const end = this.#open.indexOf("\n", this.#searched) + 1;
      if (end === 0) return 0;
      const line = this.#open.slice(this.#searched, end);
      const fence = /^(`{3,}|~{3,})/.exec(line)?.[1] ?? "";
      if (!this.#fence) this.#fence = fence;
      else if (fence.startsWith(this.#fence)) this.#fence = "";
      const blank = !line.trim() && this.#searched > 0 && !this.#fence;
      if (blank && this.#open.length > end + 1) {
        this.#searched = end;
        return end;
      }
      if (blank) return 0;
      this.#searched = end;
    }
  }
}

/**
 * The same element again.
 * @param {string} source
 * @param {Recipe} _recipe
 * @param {Parts} [_parts]
 * @param {boolean} [keep] the element around
 * @returns {HTMLElement}
 */
export function renderPiece(source, _recipe, _parts, keep = false) {
  const el = document.createElement("div");
  const blocks = new Blocks();
  blocks.write(source);
  blocks.end();
  createPaper(el)(blocks.root);
  const flat = /** @type {HTMLElement[]} */ ([...el.querySelectorAll(":scope > .nbstream-groups > .nbstream-group > *")]);
  el.replaceChildren(...flat);
  return keep || flat.length !== 1 ? el : /** @type {HTMLElement} */ (flat[0]);
}
