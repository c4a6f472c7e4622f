/**
 * Where the reader is in the box: at the end, which is followed, or at a piece of text, which stays where it is whatever
 * happens above it. The browser's own scroll anchoring knows neither re-made pieces nor boxes that were taken out of the
 * page and put back, and not every browser has it.
 */

import { element } from "./elements.js";

/** So near to the end counts as being there: fractions of pixels and a half-scrolled line. */
const NEAR_PX = 24;
/** After the last step of a scroll, which a browser draws out to a movement. */
const REST_MS = 120;
/** From lane to section to group to piece. */
const DEEPEST = 7;

export class Scroll {
  /** Whether the newest text stays in sight. */
  following = true;
  /** Called after the reader moved, or whether he follows has changed. */
  onMoved = () => {};
  #box;
  #content;
  #sentinel = element("nbstream-sentinel");
  /** As far as we know; another value means that the reader scrolled. */
  #top = 0;
  #movedAt = -Infinity;
  /** Nobody could see the box when it was last looked at. */
  #away = true;
  /** @type {{el: Element, offset: number}[]} what stands at the top of the box, outer to inner */
  #anchor = [];

  /**
   * @param {HTMLElement} box
   * @param {HTMLElement} content all that is in the box
   * @param {AbortSignal} signal
   */
  constructor(box, content, signal) {
    this.#box = box;
    this.#content = content;
    // Not left to a style sheet: where it does not scroll, no reader would either.
    this.#sentinel.style.cssText = "position:absolute;height:1px;width:1px;overflow:hidden;visibility:hidden";
    this.#sentinel.append(document.createElement("div"));
    /** @type {HTMLElement} */ (this.#sentinel.firstChild).style.height = "2px";
    box.after(this.#sentinel);
    box.addEventListener("scroll", () => this.#sync(), { signal, passive: true });
    // The animation does nothing but begin whenever the box comes (back) into the page.
    this.#sentinel.addEventListener("animationstart", () => this.restore(), { signal });
  }

  /** Milliseconds until the reader has stood still for a moment; a scroll under way is cut short by one of ours. */
  get restlessMs() {
    return Math.max(0, this.#movedAt + REST_MS - performance.now());
  }

  /** To the very beginning. */
  toStart() {
    this.following = false;
    this.#set(0);
    this.#mark();
    this.onMoved();
  }

  /** Whether nobody can see the box; measuring would tell nothing. */
  get hidden() {
    return this.#box.clientHeight === 0;
  }

  /**
   * Change the content without moving what the reader sees.
   * @param {() => void} change
   */
  keep(change) {
    this.#sync();
    change();
    this.restore();
  }

  /** Put the reader back where he was. */
  restore() {
    this.#away = this.hidden;
    if (this.#away) return;
    this.#sentinel.scrollTop = 1;
    if (this.following) {
      this.#set(this.#box.scrollHeight);
      return;
    }
    const kept = this.#anchor.findLast(({ el }) => this.#content.contains(el));
    // Who is at the very beginning stays there.
    if (!kept || this.#top === 0) return this.#set(this.#top);
    const moved = this.#offset(kept.el) - kept.offset;
    if (this.#box.scrollTop !== this.#top || Math.abs(moved) >= 0.5) {
      this.#set(this.#box.scrollTop + moved);
      this.onMoved();
    }
    const exact = kept === this.#anchor.at(-1) && kept.el.parentElement?.classList.contains("nbstream-group");
    if (!exact) this.#mark(); // a section became groups, a place became pieces
  }

  /** @param {boolean} following */
  follow(following) {
    this.following = following;
    if (following) this.restore();
    else this.#mark();
    this.onMoved();
  }

  /** Back to how a new answer is shown. */
  reset() {
    this.following = true;
    this.#anchor = [];
    this.#top = 0;
  }

  /**
   * Bring something into the upper third of the box.
   * @param {{getBoundingClientRect(): DOMRect}} target
   */
  show(target) {
    const rect = target.getBoundingClientRect();
    const box = this.#box.getBoundingClientRect();
    this.following = false;
    if (rect.top < box.top || rect.bottom > box.bottom) this.#set(this.#box.scrollTop + rect.top - box.top - box.height / 3);
    this.#mark();
    this.onMoved();
  }

  /** What stands at the top of the box, as near to a piece as it can be told. */
  get topmost() {
    this.#sync();
    if (this.following) this.#mark();
    return this.#anchor.at(-1)?.el ?? null;
  }

  /** Learn what the reader did since. */
  #sync() {
    if (this.hidden) return;
    // Taken out of the page and put back, a box stands at its beginning, and so does this smaller one beside it.
    if (this.#away || this.#sentinel.scrollTop === 0) return this.restore();
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    if (Math.abs(scrollTop - this.#top) < 1) return;
    const left = scrollHeight - scrollTop - clientHeight;
    // The text became shorter than the reader was far: the browser moved him, not he.
    if (this.#top > scrollHeight - clientHeight + 1) return this.restore();
    this.#movedAt = performance.now();
    // Growing text moves the end away but never scrolls up: only the reader does that.
    if (scrollTop < this.#top) this.following = left < 2;
    else if (left < NEAR_PX) this.following = true;
    this.#top = scrollTop;
    this.#mark();
    this.onMoved();
  }

  /** @param {number} top */
  #set(top) {
    this.#box.scrollTop = top;
    this.#top = this.#box.scrollTop;
  }

  #mark() {
    this.#anchor = [];
    if (this.hidden) return;
    const { top, bottom: end } = this.#box.getBoundingClientRect();
    let inside = /** @type {Element} */ (this.#content);
    while (this.#anchor.length < DEEPEST) {
      const seen = [...inside.children].filter((child) => {
        const rect = child.getBoundingClientRect();
        // What is hidden has its place at 0, which is below a box that begins above the window.
        return rect.height > 0 && rect.bottom > top + 1 && rect.top < end;
      });
      // Text rather than a place that waits for it, whose height will be another.
      const el = seen.find((child) => !child.matches(".nbstream-out, .nbstream-groups:empty")) ?? seen[0];
      if (!el) break;
      this.#anchor.push({ el, offset: this.#offset(el) });
      if (inside.classList.contains("nbstream-group")) break;
      inside = el;
    }
  }

  /** @param {Element} el */
  #offset(el) {
    return el.getBoundingClientRect().top - this.#box.getBoundingClientRect().top;
  }
}
