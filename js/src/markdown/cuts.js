/**
 * Where a text of whole lines is cut into pieces. Every top-level block begins one. A long block is cut inside too: at an
 * item, a row, a line of code, a block in a quote or an item, once a piece holds 4 KB or 64 of them; a giant paragraph at
 * a line or word. Where depends on the text from the last cut on, not on how it came, so a streamed text is cut like a
 * whole one.
 */

import { openAgain } from "./open.js";
import { outline } from "./outline.js";
import { paragraphCut, GIANT_PARAGRAPH } from "./paragraph_cut.js";
import { parseBlocks } from "./parser.js";

/** @typedef {import("./open.js").Open} Open */
/** @typedef {import("./open.js").Placed} Placed */
/** @typedef {import("./parser.js").Beginning} Beginning */
/**
 * @typedef {object} Cut
 * @property {number} at where, in the text
 * @property {number[]} plain of the piece before it: see `Beginning`
 * @property {Beginning} beginning how the piece behind it begins
 */

/** A text box or a parent that grows is laid out whole on every change. */
const PIECE_UNITS = 4_096;
const PIECE_PLACES = 64;
const GIANT_LINE = 2 * PIECE_UNITS;

/**
 * @param {string} text with the prefix of its beginning; line ends are "\n"
 * @param {Beginning} beginning
 * @returns {Cut[]}
 */
export function findCuts(text, beginning) {
  return new Cuts(text, beginning).cuts;
}

class Cuts {
  /** @type {Cut[]} */
  cuts = [];
  /** @type {number[]} */
  #starts = [0];
  #from;
  #before;
  #places = 0;
  #line = -1;
  #text;
  /** Top-level blocks, in the order of the text. @type {any[]} */
  #tops;
  /** @type {number[]} */
  #plain = [];
  /** From a line of the text to one of the piece, as it is parsed alone. */
  #shift = 0;

  /**
   * @param {string} text
   * @param {Beginning} beginning
   */
  constructor(text, beginning) {
    this.#text = text;
    this.#from = beginning.prefix.length;
    this.#before = beginning.prefix;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#starts.push(at + 1);
    const tokens = parseBlocks(text);
    this.#tops = tokens.filter(({ level, nesting, map }) => level === 0 && nesting >= 0 && map);
    outline(tokens, text, beginning, this);
    this.#blank(this.#starts.length - 1);
  }

  /**
   * @param {number} line
   * @param {Placed[]} path
   * @param {boolean} afterDefinition
   * @param {any} token
   */
  block(line, path, afterDefinition, token) {
    const at = this.#startOf(line);
    if (path.length === 0) this.#blank(line);
    if (at > this.#from && line !== this.#line) this.#place(line, at, path, afterDefinition, token);
    if (token.meta?.noFormula) this.#plain.push(line + this.#shift);
  }

  /**
   * @param {number} line
   * @param {number} at
   * @param {Placed[]} path
   * @param {boolean} afterDefinition
   * @param {any} token
   */
  #place(line, at, path, afterDefinition, token) {
    this.#line = line;
    this.#places++;
    const definition = token.type === "reference_definition";
    // The title of a definition may stand in the next line, and end further on; that of an item's not in the next item.
    if (afterDefinition && !definition && token.type !== "list_item_open") return;
    if (path.length > 0 || (afterDefinition && definition) ? this.#isFull(at) : true) this.#cut(at, path);
  }

  /**
   * A model that has lost its way may write line ends for ever. What they end is over, but for a list and code by
   * indentation, which go on behind any number of them.
   * @param {number} end the line that a block begins at, or the text ends
   */
  #blank(end) {
    const before = this.#tops.findLast(({ map }) => map[0] < end);
    if (/list|^code/.test(before?.type)) return;
    for (let line = before?.map[1] ?? 0; line < end; line++) {
      const at = this.#startOf(line);
      if (at - this.#from >= PIECE_UNITS) this.#cut(at, []);
    }
  }

  /**
   * @param {any} token
   * @param {Placed[]} path
   */
  leaf(token, path) {
    if (token.type === "fence") this.#fence(token, path);
    else if (token.type === "code_block") this.#code(token, path);
    else this.#paragraph(token, path);
  }

  /**
   * @param {any} token
   * @param {Placed[]} path
   */
  #fence({ map, markup }, path) {
    let end = map[1];
    const last = /^[ \t>]*(`+|~+)[ \t]*$/.exec(this.#lineOf(end - 1))?.[1] ?? "";
    if (end - 1 > map[0] && last.startsWith(markup)) end--;
    const leaf = { type: /** @type {const} */ ("fence"), line: map[0] };
    for (let line = map[0] + 1; line < end; line++) {
      const at = this.#startOf(line);
      if (at > this.#from) {
        this.#places++;
        if (this.#isFull(at)) this.#cut(at, [...path, leaf]);
      }
      const lineEnd = at + this.#lineOf(line).length;
      while (lineEnd - Math.max(this.#from, at) > GIANT_LINE) {
        let inside = Math.max(this.#from, at) + PIECE_UNITS;
        // Not before a character that means something at the start of a line of a fence, nor inside of one.
        while (inside < lineEnd && /[\s`~>\udc00-\udfff]/.test(this.#text.charAt(inside))) inside++;
        if (inside >= lineEnd || !this.#cut(inside, [...path, leaf], "")) break;
      }
    }
  }

  /**
   * @param {any} token
   * @param {Placed[]} path
   */
  #code({ map }, path) {
    for (let line = map[0] + 1; line < map[1]; line++) {
      const at = this.#startOf(line);
      if (at <= this.#from) continue;
      this.#places++;
      const whole = this.#lineOf(line).trim() && this.#lineOf(line - 1).replace(/[>\s]/g, "");
      if (whole && this.#isFull(at)) this.#cut(at, [...path, { type: "code", line: map[0] }]);
    }
  }

  /**
   * @param {any} token
   * @param {Placed[]} path
   */
  #paragraph({ map }, path) {
    const end = this.#startOf(map[1]);
    const begins = this.#startOf(map[0]);
    for (;;) {
      const from = Math.max(this.#from, begins);
      if (end - from <= GIANT_PARAGRAPH) return;
      const { length, joint } = paragraphCut(this.#text.slice(from, from + GIANT_PARAGRAPH));
      if (!this.#cut(from + length, [...path, { type: "paragraph", line: map[0] }], joint)) return;
    }
  }

  /** @param {number} at */
  #isFull(at) {
    return at - this.#from >= PIECE_UNITS || this.#places >= PIECE_PLACES;
  }

  /**
   * @param {number} at
   * @param {Placed[]} path
   * @param {string} [joint] what stands before the cut, where that is no line's end of a container
   */
  #cut(at, path, joint) {
    const again = openAgain(path, (line) => this.#lineOf(line));
    if (!again) return false;
    const leaf = path.at(-1);
    let { prefix } = again;
    if (leaf?.type === "paragraph") prefix += `${again.lead}x${joint}`;
    if (leaf?.type === "fence" || leaf?.type === "table") {
      const opener = this.#openerOf(leaf, path, again.lead);
      if (opener === null) return false;
      prefix += `${opener}\n${joint === undefined ? "" : again.lead}`;
    }
    if (leaf?.type === "table") {
      prefix += `${this.#lineOf(leaf.line + 1)}\n`;
      leaf.widths ??= this.#widths(leaf.line, at);
    }
    // One string for all segments of a table: each line of its own would keep the text alive that it was cut from.
    if (prefix === this.#before) prefix = this.#before;
    this.#before = prefix;
    this.cuts.push({ at, plain: this.#plain, beginning: { prefix, joint: joint ?? "", enters: snapshot(path) } });
    this.#from = at;
    this.#places = 0;
    this.#plain = [];
    this.#shift = prefix.split("\n").length - 1 - this.#lineAt(at);
    return true;
  }

  /**
   * A line that opens a fence or a table, without the marker of an item that begins in it too.
   * @param {Placed} leaf
   * @param {Placed[]} path
   * @param {string} lead
   */
  #openerOf(leaf, path, lead) {
    const line = this.#lineOf(leaf.line);
    if (!path.some((open) => open.type === "item" && open.line === leaf.line)) return line;
    const markers = line.slice(0, lead.length);
    // Not behind a bare quote sign: its lead is a column longer, and would take the first sign of the fence.
    return markers.endsWith(" ") && markers.replace(/[^>]/g, " ") === lead ? lead + line.slice(lead.length) : null;
  }

  /**
   * Widths of a table's columns by the length of their texts: each segment is a table of its own, and all must agree.
   * @param {number} head
   * @param {number} end
   * @returns {number[]}
   */
  #widths(head, end) {
    /** @type {number[]} */
    const longest = [];
    for (let line = head; this.#startOf(line) < end; line++) {
      const cells = this.#lineOf(line).replace(/^[\s>]*\|?|\|?\s*$/g, "").split(/(?<!\\)\|/);
      cells.forEach((cell, i) => (longest[i] = Math.min(60, Math.max(4, longest[i] ?? 0, cell.trim().length))));
    }
    const columns = this.#lineOf(head + 1).replace(/^[\s>]*\|?|\|?\s*$/g, "").split("|").length;
    longest.length = Math.min(longest.length, columns);
    const all = longest.reduce((sum, width) => sum + width, 0);
    return longest.map((width) => Math.round((1_000 * width) / all) / 10);
  }

  /** @param {number} at */
  #lineAt(at) {
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#startOf(middle) <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** @param {number} line */
  #startOf(line) {
    return this.#starts[line] ?? this.#text.length;
  }

  /** @param {number} line */
  #lineOf(line) {
    const end = this.#starts[line + 1];
    return this.#text.slice(this.#startOf(line), end === undefined ? undefined : end - 1);
  }
}

/**
 * @param {Placed[]} path
 * @returns {Open[]}
 */
function snapshot(path) {
  return path.map(({ type, look, number, widths }, i) => {
    /** @type {Open} */
    const open = { type };
    if (look) open.look = look;
    // A piece that begins inside an item shows its number, one that begins with an item the next one.
    if (number !== undefined) open.number = path[i + 1]?.type === "item" ? number - 1 : number;
    if (widths) open.widths = widths;
    return open;
  });
}
