/**
 * The source of one body: its length, and its text from memory as long as the message is short, else from the log.
 * Lengths and places count code points, as the protocol does.
 */

import { codePoints, cutWhole, indexBehind } from "./records.js";

/** A place inside of a text is found by counting from its beginning: an answer of 1 MiB is kept in parts. */
const PIECE_UNITS = 4_096;

/** @typedef {{signal?: AbortSignal | undefined, onRead?: ((units: number) => void) | undefined}} Reading */
/** @typedef {(from: number, to: number, reading?: Reading) => Promise<string>} Read reads from the log */

export class Source {
  points = 0;
  /** @type {string[] | null} null once only the log has the text */
  #texts = [];
  /** @type {number[]} code points before each text */
  #starts = [];
  #read;

  /** @param {Read} read */
  constructor(read) {
    this.#read = read;
  }

  /** Whether the text is in memory. */
  get kept() {
    return this.#texts !== null;
  }

  /** @param {string} text */
  add(text) {
    if (!this.#texts) return void (this.points += codePoints(text));
    for (let rest = text; rest; ) {
      const [piece, behind] = cutWhole(rest, PIECE_UNITS);
      this.#texts.push(piece);
      this.#starts.push(this.points);
      this.points += codePoints(piece);
      rest = behind;
    }
  }

  /**
   * Only the first `points` code points stay.
   * @param {number} points
   */
  cut(points) {
    if (points >= this.points) return;
    this.points = points;
    if (!this.#texts) return;
    while (this.#starts.length > 0 && /** @type {number} */ (this.#starts.at(-1)) >= points) {
      this.#starts.pop();
      this.#texts.pop();
    }
    const [text, start] = [this.#texts.pop(), this.#starts.at(-1)];
    if (text !== undefined && start !== undefined) this.#texts.push(text.slice(0, indexBehind(text, points - start)));
  }

  /** From now on the log is asked. */
  forget() {
    this.#texts = null;
    this.#starts = [];
  }

  /**
   * The text between two code points, which must be in memory.
   * @param {number} from
   * @param {number} to
   */
  now(from, to) {
    if (!this.#texts || from >= to) return "";
    const starts = this.#starts;
    let low = 0;
    for (let high = starts.length; high - low > 1; ) {
      const middle = (low + high) >> 1;
      if (/** @type {number} */ (starts[middle]) <= from) low = middle;
      else high = middle;
    }
    const pieces = [];
    for (let i = low; i < starts.length && /** @type {number} */ (starts[i]) < to; i++) {
      const text = /** @type {string} */ (this.#texts[i]);
      const start = /** @type {number} */ (starts[i]);
      const begin = start < from ? indexBehind(text, from - start) : 0;
      const behind = i + 1 < starts.length ? /** @type {number} */ (starts[i + 1]) : this.points;
      pieces.push(text.slice(begin, behind > to ? indexBehind(text, to - start) : undefined));
    }
    return pieces.join("");
  }

  /**
   * The text between two code points. Rejects when it cannot be read.
   * @param {number} from
   * @param {number} to
   * @param {Reading} [reading]
   * @returns {Promise<string>}
   */
  async slice(from, to, reading) {
    return this.#texts ? this.now(from, to) : this.#read(from, to, reading);
  }
}

/**
 * Cut a text into pieces of these lengths in code points; null if it is not as long as they are together.
 * @param {string} text
 * @param {ArrayLike<number>} lengths
 * @returns {string[] | null}
 */
export function cutInto(text, lengths) {
  const pieces = [];
  let rest = text;
  for (let i = 0; i < lengths.length; i++) {
    const length = /** @type {number} */ (lengths[i]);
    const at = indexBehind(rest, length);
    pieces.push(rest.slice(0, at));
    if (codePoints(rest.slice(0, at)) !== length) return null;
    rest = rest.slice(at);
  }
  return rest ? null : pieces;
}
