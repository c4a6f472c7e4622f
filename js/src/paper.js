/** Where one text stands on the page: its pieces in groups of 64 in sections of 64 groups, and its open end behind them. */

import { element } from "./elements.js";
import { FAN, Group } from "./group.js";

/** @typedef {import("./markdown/markdown.js").Piece} Piece */
/** @typedef {import("./group.js").Render} Render */

/** Before anything was measured: prose of 14 px in a cell of usual width. */
const PX_A_POINT = 0.33;

/** Sixty-four groups; far from the reader not even their places are kept apart. */
export class Section {
  el = element("nbstream-groups");
  /** @type {Group[]} */
  groups = [];
  folded = false;
  /** While folded, the height of its groups in px. */
  height = 0;

  /** As it is drawn, in px. */
  #drawn = -1;

  /** One empty box stands for all groups, which must be left out. `draw` it. */
  fold() {
    this.folded = true;
    this.height = this.groups.reduce((sum, { height }) => sum + height, 0);
    this.el.replaceChildren();
  }

  /**
   * Give the empty box its height.
   * @param {number} scale
   */
  draw(scale) {
    const drawn = Math.round(this.height * scale);
    if (drawn !== this.#drawn) this.el.style.height = `${drawn}px`;
    this.#drawn = drawn;
  }

  unfold() {
    this.folded = false;
    this.#drawn = -1;
    this.el.style.height = "";
    this.el.replaceChildren(...this.groups.map((group) => group.el));
  }
}

export class Paper {
  tail = element("nbstream-group nbstream-tail");
  /** @type {Section[]} */
  sections = [];
  /** The open end is left out: its text is not going on. */
  tailOut = false;
  #tailHeight = 0;
  /** Code points of all pieces. */
  points = 0;
  #pxAPoint = PX_A_POINT;
  /** Whether nobody will see what comes now. */
  passes = () => false;

  /** @param {HTMLElement} el */
  constructor(el) {
    this.el = el;
    el.append(this.tail);
  }

  /** Why the open end cannot be shown, if it cannot. @param {string} why */
  set missing(why) {
    this.tail.classList.toggle("nbstream-out", why !== "");
    if (why) this.tail.dataset.missing = why;
    else delete this.tail.dataset.missing;
  }

  /** Whether pieces need not be made. */
  get passing() {
    return this.passes();
  }

  /** @param {Piece} piece without an element it is left out from its beginning */
  append(piece) {
    const out = !piece.el;
    let group = this.last;
    if (!group || group.full || group.out !== out || this.sections.at(-1)?.folded) group = this.#begin(out);
    group.append(piece);
    const grown = group.from + group.points - this.points;
    this.points += grown;
    if (out) group.stand(group.height + grown * this.#pxAPoint);
    else if (group.full) group.settle(this.estimate(group));
  }

  /**
   * Another group, behind the last.
   * @param {boolean} out
   */
  #begin(out) {
    const before = this.last;
    if (before && !before.out && !before.full) before.settle(this.estimate(before));
    let section = this.sections.at(-1);
    if (!section || section.groups.length >= FAN || section.folded) {
      section = new Section();
      this.sections.push(section);
      this.tail.before(section.el);
    }
    const group = new Group(this.points, out);
    section.groups.push(group);
    section.el.append(group.el);
    return group;
  }

  /** @returns {IterableIterator<Group>} */
  *groups() {
    for (const section of this.sections) yield* section.groups;
  }

  /** The group that still grows. */
  get last() {
    return this.sections.at(-1)?.groups.at(-1);
  }

  /** @param {Group} group */
  estimate(group) {
    return group.points * this.#pxAPoint;
  }

  /**
   * @param {Group} group
   * @param {number} height in px; 0 tells nothing (a folded parent)
   */
  leaveOut(group, height) {
    if (height > 0 && group.points > 0) this.#pxAPoint += (height / group.points - this.#pxAPoint) / 8;
    group.leaveOut(height || this.estimate(group));
  }

  /**
   * Leave the open end out and keep its place.
   * @param {number} height in px; 0 tells nothing
   * @param {number} length code points of the whole text
   */
  leaveOutTail(height, length) {
    this.tailOut = true;
    this.tail.replaceChildren();
    this.tail.classList.add("nbstream-out");
    this.#standTail(height || (length - this.points) * this.#pxAPoint);
  }

  /** The open end may be painted again. */
  showTail() {
    if (!this.tailOut) return;
    this.tailOut = false;
    this.tail.classList.remove("nbstream-out");
    this.tail.style.height = "";
  }

  /** @param {number} height in px */
  #standTail(height) {
    this.#tailHeight = height;
    this.tail.style.height = `${height}px`;
  }

  /**
   * The text is wider or narrower: places change their height.
   * @param {number} factor
   */
  rescale(factor) {
    this.#pxAPoint *= factor;
    if (this.tailOut) this.#standTail(this.#tailHeight * factor);
    for (const section of this.sections) {
      section.height *= factor;
      for (const group of section.groups) if (!group.pieces) group.stand(group.height * factor);
    }
  }

  /**
   * The section and group that hold a code point, if a piece does.
   * @param {number} at
   * @returns {{section: Section, group: Group} | null}
   */
  holding(at) {
    if (at >= this.points) return null;
    const section = lastFrom(this.sections, (one) => one.groups[0]?.from ?? 0, at);
    const group = section && lastFrom(section.groups, (one) => one.from, at);
    return section && group ? { section, group } : null;
  }

  /**
   * Take back what is behind `points`, and all of the block that reaches over it.
   * @param {number} points
   * @returns {Set<Piece>} what is gone; parsing begins anew behind the points that are left
   */
  cut(points) {
    /** @type {Set<Piece>} */
    const gone = new Set();
    this.showTail();
    this.tail.replaceChildren();
    for (;;) {
      const section = this.sections.at(-1);
      const group = section?.groups.at(-1);
      if (!section || !group) break;
      if (section.folded) section.unfold();
      let index = group.lengths.length;
      let start = group.from + group.points;
      // The piece before the cut may go on behind it, so parsing begins at the block that it is of.
      while (index > 0) {
        index--;
        start -= /** @type {number} */ (group.lengths[index]);
        if (start < points && group.all[index]?.recipe.starts) break;
        if (index === 0 && start === 0) break;
      }
      const begins = start < points && (group.all[index]?.recipe.starts || start === 0);
      for (const piece of group.cut(index)) gone.add(piece);
      if (index === 0) {
        section.groups.pop();
        group.el.remove();
        if (section.groups.length === 0) {
          this.sections.pop();
          section.el.remove();
        }
      }
      this.points = start;
      if (begins) break;
    }
    return gone;
  }
}

/**
 * The last of a sorted list that begins at or before `at`.
 * @template T
 * @param {T[]} list
 * @param {(one: T) => number} from
 * @param {number} at
 * @returns {T | undefined}
 */
function lastFrom(list, from, at) {
  let low = 0;
  for (let high = list.length; high - low > 1; ) {
    const middle = (low + high) >> 1;
    if (from(/** @type {T} */ (list[middle])) <= at) low = middle;
    else high = middle;
  }
  return list[low];
}
