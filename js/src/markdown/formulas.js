/** Formulas show their source until the part that sets them has come, and for good where it cannot set them. */

/** @typedef {{tex: string, source: string, display: boolean, block: boolean}} Formula */
/** @typedef {{render: (tex: string, display: boolean) => Element | null}} MathPart */
/** @typedef {{load: (name: "math") => Promise<any>}} Parts */

/** The open end is painted again and again, with the same few formulas in it. */
const MOST_KEPT = 256;

export class Formulas {
  /** @type {MathPart | null} */
  #part = null;
  /** @type {Promise<void> | null} */
  #loading = null;
  /** @type {Map<string, Element | null>} */
  #kept = new Map();
  #parts;

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * Put the formula into its element, at once or when the part has come.
   * @param {HTMLElement} el
   * @param {Formula} formula
   */
  set(el, formula) {
    if (this.#part) return this.#put(el, formula);
    this.#loading ??= this.#parts.load("math").then(
      (part) => void (this.#part = part),
      () => void (this.#loading = null), // the kernel is gone: the next formula asks again
    );
    void this.#loading.then(() => this.#part && this.#put(el, formula));
  }

  /**
   * @param {HTMLElement} el
   * @param {Formula} formula
   */
  #put(el, { tex, display }) {
    const key = `${display} ${tex}`;
    let math = this.#kept.get(key);
    if (math === undefined) {
      math = /** @type {MathPart} */ (this.#part).render(tex, display);
      if (this.#kept.size >= MOST_KEPT) this.#kept.clear();
      this.#kept.set(key, math);
    }
    if (math) el.replaceChildren(math.cloneNode(true));
  }
}

/**
 * @param {Formula} formula
 * @param {Formulas} [formulas]
 * @returns {HTMLElement}
 */
export function formula(formula, formulas) {
  const el = document.createElement(formula.block ? "div" : "span");
  el.className = formula.display ? "nbstream-math nbstream-display" : "nbstream-math";
  el.dataset.source = formula.source;
  el.append(document.createTextNode(formula.source));
  formulas?.set(el, formula);
  return el;
}
