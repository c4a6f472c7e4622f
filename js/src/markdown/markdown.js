/**
 * Markdown that streams: what is finished becomes pieces, what is open stands in the tail and is painted again. Only the
 * text behind the last piece is ever parsed, so a paint costs the same at the end of a long text as at its beginning.
 */

import { Colours } from "./colours.js";
import { findCuts } from "./cuts.js";
import { Formulas } from "./formulas.js";
import { patch, update } from "./patch.js";
import { markPiece, render, renderPiece } from "./piece.js";
import { References } from "./references.js";

/** @typedef {import("./piece.js").Recipe} Recipe */
/** @typedef {import("./open.js").Look} Look */
/** @typedef {import("./parser.js").Beginning} Beginning */
/** @typedef {{load: (name: "highlight" | "math") => Promise<any>}} Parts */
/**
 * A finished piece of the document. Pieces come in the order of the source and cover it without a hole.
 * @typedef {object} Piece
 * @property {HTMLElement | null} el what stands on the page, one bounded element; null while it is left out
 * @property {string} source the text it was made of, as it came; empty while it is left out
 * @property {Recipe} recipe what `renderPiece` needs beside the source to make the same element again
 */
/**
 * Where a document stands.
 * @typedef {object} Paper
 * @property {HTMLElement} tail takes the open end
 * @property {(piece: Piece) => void} append takes a piece that is finished
 * @property {boolean} [passing] nobody will see the next piece: it is not made, and appended as one that is left out
 */

/** A line this long counts before its end has come: a text without line ends must be cut too. */
const GIANT_LINE = 4_096;

/** So much source is made anew in one paint: a definition at the end may change every piece of a long text. */
const ANEW_UNITS = 32_768;

/** Of most pieces: one for all of them, a long text has a million. @type {Recipe} */
const ALONE = Object.freeze({ prefix: "", joint: "", enters: [], starts: true, plain: [], leaves: [] });

const NOTHING = new Map();

export { renderPiece };

export class Markdown {
  #paper;
  #references = new References();
  /** @type {import("./elements.js").Context} of everything that is made */
  #context;
  #colours;
  /** The text behind the last piece, as it came. */
  #open = "";
  /** @type {Beginning} */
  #beginning = { prefix: "", joint: "", enters: [] };
  /** How much of `#open` was looked through for cuts. */
  #seen = 0;
  #changed = false;
  /** Pieces that look otherwise since they were made; the last are the next. @type {Piece[]} */
  #stale = [];
  /** @type {Map<Look, {loose: boolean, pieces: Piece[]}>} segments of the lists that are open */
  #segments = new Map();

  /**
   * @param {Paper} paper
   * @param {Parts} [parts] without them code stays plain and formulas show their source
   */
  constructor(paper, parts) {
    this.#paper = paper;
    this.#context = { formulas: parts && new Formulas(parts), pictures: new Set() };
    this.#colours = parts && new Colours(parts);
  }

  /**
   * Take more text; `paint` shows it.
   * @param {string} text
   */
  write(text) {
    this.#open += text;
    this.#changed = true;
    // What the open end defined, and how it looks, may go on too.
    this.#references.end(NOTHING);
    for (const look of this.#segments.keys()) look.looseAtEnd = false;
  }

  /** @returns {boolean} whether it is through: what is stale takes more than one paint */
  paint() {
    // What `end` made of the open end stays.
    if (this.#changed) {
      this.#changed = false;
      this.#commit();
      // A CR at the end may be the first half of a CRLF.
      const { defined } = this.#paintTail(this.#open.endsWith("\r") ? this.#open.slice(0, -1) : this.#open);
      this.#references.goOn(defined);
    }
    this.#freshen();
    return this.#stale.length === 0;
  }

  /** No more text comes: the last line is whole. More may still be written, after a resume. */
  end() {
    this.#changed = false;
    this.#commit();
    const { defined, enters } = this.#paintTail(this.#open);
    this.#references.end(defined);
    for (const [i, { look }] of this.#beginning.enters.entries()) if (look) look.looseAtEnd = enters[i]?.look?.loose ?? false;
    this.#freshen();
    this.#colour(this.#paper.tail);
  }

  /**
   * The last pieces and the open end are gone. What they defined is, too.
   * @param {Set<Piece>} pieces
   */
  takeBack(pieces) {
    this.#references.takeBack(pieces);
    this.#colours?.begin();
    this.#segments.clear();
    this.#beginning = { prefix: "", joint: "", enters: [] };
    this.#open = "";
    this.#seen = 0;
    this.#changed = true;
  }

  /**
   * The element of one of this document's pieces once more: it had been left out.
   * @param {Piece} piece
   */
  renderPiece(piece) {
    return this.#make(piece, (code, language) => this.#colours?.colour([code], language));
  }

  /**
   * @param {Piece} piece learns of definitions from now on
   * @param {import("./elements.js").Context["onCode"]} [onCode]
   */
  #make(piece, onCode) {
    /** @type {Set<string>} */
    const missing = new Set();
    const el = renderPiece(piece.source, piece.recipe, { ...this.#context, references: this.#references.forPiece(piece, missing), onCode });
    this.#references.wait(piece, missing);
    return el;
  }

  #commit() {
    const whole = this.#wholeLines();
    if (whole === this.#seen) return;
    this.#seen = whole;
    const { prefix } = this.#beginning;
    const raw = this.#open.slice(0, whole);
    const cuts = findCuts(prefix + raw.replace(/\r\n?/g, "\n"), this.#beginning);
    this.#loosen();
    const offset = offsets(raw);
    let done = 0;
    for (const { at, plain, beginning } of cuts) {
      const until = offset(at - prefix.length);
      this.#append(raw.slice(done, until), plain, beginning);
      this.#beginning = beginning;
      done = until;
    }
    this.#open = this.#open.slice(done);
    this.#seen -= done;
    for (const look of this.#segments.keys()) {
      if (!this.#beginning.enters.some((open) => open.look === look)) this.#segments.delete(look);
    }
  }

  /** The length of the lines whose end has come. */
  #wholeLines() {
    const held = this.#open.endsWith("\r") ? this.#open.length - 1 : this.#open.length;
    const whole = Math.max(this.#open.lastIndexOf("\n", held - 1), held > 0 ? this.#open.lastIndexOf("\r", held - 1) : -1) + 1;
    return held - whole > GIANT_LINE ? held : whole;
  }

  /**
   * @param {string} source
   * @param {number[]} plain
   * @param {Beginning} next what begins behind it
   */
  #append(source, plain, next) {
    const starts = this.#beginning.enters.length === 0;
    const alone = starts && plain.length === 0 && next.enters.length === 0;
    const recipe = alone ? ALONE : { ...this.#beginning, starts, plain, leaves: next.enters };
    /** @type {Piece} */
    const piece = { el: null, source, recipe };
    if (!this.#paper.passing) piece.el = this.#make(piece);
    else if (source.includes("]:")) this.#make(piece); // for what it may define
    for (const { look } of [...recipe.enters, ...recipe.leaves]) {
      if (!look) continue;
      const segments = this.#segments.get(look) ?? { loose: look.loose, pieces: [] };
      if (segments.pieces.at(-1) !== piece) segments.pieces.push(piece);
      this.#segments.set(look, segments);
    }
    this.#paper.append(piece);
    if (piece.el) this.#colour(piece.el);
    else this.#colours?.begin();
  }

  /** @param {HTMLElement} el */
  #colour(el) {
    if (!this.#colours) return;
    for (const code of el.querySelectorAll("pre > code")) {
      const language = /^language-(.+)$/.exec(code.className)?.[1];
      if (language) this.#colours.add(/** @type {HTMLElement} */ (code), language);
    }
  }

  /**
   * @param {string} text
   * @returns what it defines and how what it goes on looks: neither is final
   */
  #paintTail(text) {
    /** @type {Map<string, import("./references.js").Definition>} */
    const defined = new Map();
    const enters = this.#beginning.enters.map((open) => (open.look ? { ...open, look: { ...open.look } } : open));
    const recipe = { ...this.#beginning, enters, starts: false, leaves: [] };
    const fragment = render(text, recipe, { ...this.#context, references: this.#references.forTail(defined) });
    patch(this.#paper.tail, fragment);
    return { defined, enters };
  }

  /** A list that becomes loose does so as a whole. */
  #loosen() {
    for (const [look, segments] of this.#segments) {
      const loose = look.loose || Boolean(look.looseAtEnd);
      if (loose === segments.loose) continue;
      segments.loose = loose;
      for (const { el, recipe } of segments.pieces) if (el) markPiece(el, recipe);
    }
  }

  /** The newest first: that is where the reader of a text that streams is. */
  #freshen() {
    this.#loosen();
    const changed = this.#references.takeChanged();
    if (changed.size > 0) this.#stale = [...new Set([...this.#stale, ...changed])];
    for (let units = 0; units < ANEW_UNITS && this.#stale.length > 0; ) {
      const piece = /** @type {Piece} */ (this.#stale.pop());
      if (!piece.el) continue; // it is made as it looks now when it comes back
      const el = renderPiece(piece.source, piece.recipe, { ...this.#context, references: this.#references.forPiece() });
      if (!update(piece.el, el)) {
        piece.el.replaceWith(el);
        piece.el = el;
      }
      units += piece.source.length;
    }
  }
}

/**
 * Turns ascending offsets of a text with "\n" alone into those of the text as it came.
 * @param {string} raw
 * @returns {(at: number) => number}
 */
function offsets(raw) {
  if (!raw.includes("\r\n")) return (at) => at;
  let [from, to] = [0, 0];
  return (at) => {
    for (; from < at; from++) to += raw[to] === "\r" && raw[to + 1] === "\n" ? 2 : 1;
    return to;
  };
}
