/**
 * What the reader looks at in the notebook stays where it is while an answer above it grows. The browser's own scroll
 * anchoring does not see to it: Safari has none, and Chromium's does nothing while the last lines of a code cell stand at
 * the top of the notebook, whatever grows above them (CodeMirror's lines opt out of it).
 */

/** How high each answer was. @type {Map<Element, number>} */
const heights = new Map();
/** By what scrolls them. @type {WeakMap<Element, Surroundings>} */
const known = new WeakMap();
/** One for all answers: several may grow in one frame. @type {ResizeObserver | null} */
let sizes = null;

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
export function keepSurroundings(root, signal) {
  sizes ??= new ResizeObserver((entries) => resized(entries.map(({ target }) => target)));
  sizes.observe(root);
  signal.addEventListener("abort", () => {
    sizes?.unobserve(root);
    heights.delete(root);
  });
}

/** @param {Element[]} roots laid out anew, and not painted yet */
function resized(roots) {
  const changes = roots.map((root) => {
    const { top, height } = root.getBoundingClientRect();
    const was = heights.get(root) ?? 0;
    heights.set(root, height);
    return { root, top, was, grown: height - was };
  });
  /** @type {Set<Surroundings>} */
  const around = new Set();
  for (const { root, top, was, grown } of changes.sort((one, other) => one.top - other.top)) {
    // From 0 or to 0: not grown, but put into the page, taken out of it, shown or hidden.
    if (was === 0 || was + grown === 0) continue;
    const scroller = scrollerOf(root);
    let surroundings = known.get(scroller);
    if (!surroundings) known.set(scroller, (surroundings = new Surroundings(scroller)));
    around.add(surroundings);
    surroundings.grew(top, was, grown);
  }
  for (const surroundings of around) surroundings.keep();
}

/** A notebook, or whatever else answers stand in and scroll with. */
class Surroundings {
  #scroller;
  /** The scroll position, as far as the page has been told. */
  #top;
  /** By how much what is above the window grew, with the fractions of pixels that scrolling leaves over. */
  #moved = 0;

  /** @param {Element} scroller */
  constructor(scroller) {
    this.#scroller = scroller;
    this.#top = scroller.scrollTop;
    const told = scroller === document.scrollingElement ? document : scroller;
    told.addEventListener("scroll", () => (this.#top = scroller.scrollTop), { passive: true });
  }

  /**
   * An answer grew; those of one frame come from top to bottom.
   * @param {number} top where it begins now, in the window
   * @param {number} was its height before
   * @param {number} grown
   */
  grew(top, was, grown) {
    const edge = this.#scroller === document.scrollingElement ? 0 : this.#scroller.getBoundingClientRect().top;
    if (top - this.#moved + was <= edge + 1) this.#moved += grown;
  }

  keep() {
    const top = this.#scroller.scrollTop;
    // Another position than the one we were told of: the browser has seen to it, or the notebook scrolled.
    if (top === this.#top) this.#scroller.scrollTop = top + this.#moved;
    this.#top = this.#scroller.scrollTop;
    const left = top + this.#moved - this.#top;
    this.#moved = Math.abs(left) < 1 ? left : 0;
  }
}

/**
 * @param {Element} el
 * @returns {Element}
 */
function scrollerOf(el) {
  for (let around = parentOf(el); around; around = parentOf(around)) {
    if (around.scrollHeight > around.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(around).overflowY)) return around;
  }
  return document.scrollingElement ?? document.documentElement;
}

/**
 * @param {Element} el
 * @returns {Element | null}
 */
function parentOf(el) {
  const root = el.getRootNode();
  return el.parentElement ?? (root instanceof ShadowRoot ? root.host : null);
}
