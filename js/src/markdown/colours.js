/**
 * Code gets its colours once, when its fence has closed, it is in sight and the page is idle; while it streams it is
 * plain. (Of a long answer most code is never looked at: each word of it would be an element.)
 */

import { skippedWith, unskipped } from "../skipping.js";

/** @typedef {{text: string, classes: string}} Span */
/** @typedef {{load: (name: "highlight") => Promise<any>}} Parts */

/** Longer code stays plain: colours are found in one task (16 KB of JSON or HTML: some 50 ms, 95 KB: 270 and more). */
const MOST_UNITS = 16_384;
const IDLE_MS = 500;

export class Colours {
  /** @type {HTMLElement[]} the segments of a fence that goes on */
  #open = [];
  /** Units of all segments of that fence, those that are not kept too. */
  #units = 0;
  #parts;

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * A block of code is on the page, or a segment of one.
   * @param {HTMLElement} code
   * @param {string} language
   */
  add(code, language) {
    const { classList } = /** @type {HTMLElement} */ (code.parentElement);
    if (!classList.contains("nbstream-went-on")) this.begin();
    this.#units += code.textContent?.length ?? 0;
    this.#open.push(code);
    if (this.#units > MOST_UNITS) this.#open = []; // it stays plain: to keep its segments would keep them off the page too
    if (classList.contains("nbstream-goes-on")) return;
    void this.colour(this.#open, language);
    this.begin();
  }

  /** What comes next is another code. */
  begin() {
    this.#open = [];
    this.#units = 0;
  }

  /**
   * Colour one code that stands in one or more elements.
   * @param {HTMLElement[]} codes
   * @param {string} language
   */
  async colour(codes, language) {
    const texts = codes.map((code) => code.textContent ?? "");
    const text = texts.join("");
    if (text.length === 0 || text.length > MOST_UNITS) return;
    await idle();
    const skipped = codes.map(skippedWith);
    if (skipped[0] && skipped.every(Boolean)) await unskipped(skipped[0]);
    // Without the part, or when it fails, code is plain.
    const part = await this.#parts.load("highlight").catch(() => null);
    /** @type {Span[] | null} */
    const spans = part?.highlight(text, language) ?? null;
    if (spans) await distribute(codes, texts, spans);
  }
}

/**
 * @param {HTMLElement[]} codes
 * @param {string[]} texts
 * @param {Span[]} spans
 */
async function distribute(codes, texts, spans) {
  let index = 0;
  let used = 0;
  for (const [i, code] of codes.entries()) {
    const fragment = document.createDocumentFragment();
    const text = /** @type {string} */ (texts[i]);
    for (let length = text.length; length > 0; ) {
      const span = spans[index];
      if (!span) return;
      const part = span.text.slice(used, used + length);
      fragment.append(coloured(part, span.classes));
      length -= part.length;
      used += part.length;
      if (used >= span.text.length) {
        index++;
        used = 0;
      }
    }
    // Colours change no text, and not what has changed in the meantime.
    if (code.textContent === text && fragment.textContent === text) code.replaceChildren(fragment);
    await idle(); // a segment has a thousand spans, which are laid out
  }
}

/**
 * @param {string} text
 * @param {string} classes
 */
function coloured(text, classes) {
  if (!classes) return document.createTextNode(text);
  const span = document.createElement("span");
  span.className = classes;
  span.append(document.createTextNode(text));
  return span;
}

/** @returns {Promise<unknown>} */
function idle() {
  return new Promise((resolve) => {
    if (typeof requestIdleCallback === "function") requestIdleCallback(resolve, { timeout: IDLE_MS });
    else setTimeout(resolve, 0);
  });
}
