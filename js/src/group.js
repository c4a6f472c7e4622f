/**
 * Sixty-four pieces of a text on the page, or the place they leave.
 *
 * A parent with thousands of children is laid out whole on every change, and `content-visibility` on each block costs
 * more than it saves (22 s against 0.3 s for 60 scroll steps at 10 MB): so the group is what is skipped or left out.
 */

import { element } from "./elements.js";
import { codePoints } from "./records.js";

/** @typedef {import("./markdown/markdown.js").Piece} Piece */
/** @typedef {Piece & {el: HTMLElement}} Shown */
/** @typedef {(piece: Piece) => HTMLElement} Render */

export const FAN = 64;

export class Group {
  el = element("nbstream-group");
  points = 0;
  /** @type {number[]} code points of each piece */
  lengths = [];
  /** All pieces, on the page or not. @type {Piece[]} */
  all = [];
  /** Only the place is kept. */
  out = false;
  /** Measured when it was left out, in px. */
  height = 0;

  /**
   * @param {number} from code points of the body before it
   * @param {boolean} [out] from its beginning
   */
  constructor(from, out = false) {
    this.from = from;
    this.out = out;
    this.el.classList.toggle("nbstream-out", out);
  }

  get full() {
    return this.lengths.length >= FAN;
  }

  /** The pieces on the page, or null while only their place is kept. */
  get pieces() {
    return this.out ? null : /** @type {Shown[]} */ (this.all);
  }

  /** @param {Piece} piece */
  append(piece) {
    const length = codePoints(piece.source);
    this.lengths.push(length);
    this.points += length;
    this.all.push(piece);
    if (piece.el) this.el.append(piece.el);
    else piece.source = "";
  }

  /**
   * Off screen it may be skipped from now on, at this height until it was laid out.
   * @param {number} height in px
   */
  settle(height) {
    this.el.classList.add("nbstream-full");
    this.el.style.containIntrinsicHeight = `auto ${Math.round(height)}px`;
  }

  /**
   * Leave the pieces out and keep their place.
   * @param {number} height in px
   */
  leaveOut(height) {
    this.out = true;
    // The pieces stay known to their document, to link definitions that they wait for: what they hold must go.
    for (const piece of this.all) {
      piece.el = null;
      piece.source = "";
    }
    this.el.replaceChildren();
    this.el.classList.remove("nbstream-full");
    this.el.classList.add("nbstream-out");
    // Or the browser would remember the height of the place, and skip the pieces at that when they are back.
    this.el.style.containIntrinsicHeight = "";
    this.stand(height);
  }

  /** @param {number} height of the place, in px */
  stand(height) {
    this.height = height;
    this.el.style.height = `${height}px`;
  }

  /**
   * Make the pieces again.
   * @param {string[]} sources
   * @param {Render} render
   */
  bringBack(sources, render) {
    const elements = this.all.map((piece, i) => {
      piece.source = /** @type {string} */ (sources[i]);
      piece.el = render(piece);
      return piece.el;
    });
    this.out = false;
    this.el.replaceChildren(...elements);
    this.el.style.height = "";
    this.el.classList.remove("nbstream-out");
    delete this.el.dataset.missing;
    // Laid out at once: skipped first, it would change its height when it comes in sight, in the middle of a scroll.
    this.settle(this.el.offsetHeight || this.height);
  }

  /**
   * The pieces from `index` on go.
   * @param {number} index
   * @returns {Piece[]}
   */
  cut(index) {
    for (const length of this.lengths.splice(index)) this.points -= length;
    const gone = this.all.splice(index);
    for (const piece of gone) {
      piece.el?.remove();
      piece.el = null;
    }
    this.el.classList.remove("nbstream-full");
    return gone;
  }

  /**
   * Which piece holds a code point of the body, and where it begins.
   * @param {number} at
   * @returns {{index: number, start: number}}
   */
  holding(at) {
    let start = this.from;
    for (let index = 0; index < this.lengths.length; index++) {
      const length = /** @type {number} */ (this.lengths[index]);
      if (at < start + length) return { index, start };
      start += length;
    }
    return { index: this.lengths.length - 1, start };
  }
}
