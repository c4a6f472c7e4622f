/**
 * Which groups of a long message have their pieces on the page: up to 2 MB all of them, above that those near the reader
 * and the newest. The others leave a place of their height, and are read from the log again when the reader comes near.
 */

import { Filling } from "./filling.js";
import { Bodies } from "./neighbours.js";
import { Timers } from "./timers.js";

/** @typedef {import("./body.js").Body} Body */
/** @typedef {import("./group.js").Group} Group */
/** @typedef {import("./paper.js").Section} Section */
/** @typedef {import("./neighbours.js").View} View */

/** Code points of the whole message up to which everything stays: find, copy, print and screen readers see it all. */
const WHOLE_POINTS = 2_000_000;
/** Groups come back this many heights of the box ahead of the reader, and go twice as far behind him. */
const AHEAD = 2;
const LEAST_AHEAD_PX = 2_000;
/** Chromium clamps heights at 33.5 million px (about 100 MB); above this, what is folded stands for more than it shows. */
const MOST_PX = 16_000_000;
/** A scale that is so little off stays: to change it, everything folded gets another height. */
const SCALE_STEP = 0.01;
/** Removing takes time too: 2 MB at once would be a long task. */
const MOST_OUT_PIECES = 1_536;
/** Text that so much more waits behind (UTF-16 units) has left the box before anybody could see it: it is not made at all. */
const PASSING_UNITS = 32_768;
/** What stays while nobody can see the box. */
const MOST_UNSEEN_POINTS = 2_000_000;
/** After text that was cut could not be read. */
const AGAIN_MS = 2_000;
/** A hidden tab has no frames, and still grows. */
const HIDDEN_MS = 250;

export class Windowing {
  #box;
  #signal;
  #keep;
  #whole;
  #total;
  #timers;
  #filling;
  #bodies = new Bodies();
  #windowed = false;
  /** @type {Set<Section>} */
  #folded = new Set();
  #scale = 1;
  /** @type {(() => void)[]} */
  #later = [];
  /** UTF-16 units that wait to be painted behind those that are written next. */
  waiting = 0;
  /** Called when the message has become too long for the page. */
  onWindowed = () => {};

  /**
   * @param {HTMLElement} box that scrolls
   * @param {object} options
   * @param {(change: () => void) => void} options.keep makes a change without moving what the reader sees
   * @param {() => number} [options.restlessMs] until the reader stands still
   * @param {number} [options.whole] code points up to which everything stays
   * @param {() => number} [options.total] code points that count: those of other boxes, too
   * @param {AbortSignal} options.signal
   */
  constructor(box, { keep, restlessMs = () => 0, whole = WHOLE_POINTS, total = () => this.points, signal }) {
    this.#box = box;
    this.#keep = keep;
    this.#whole = whole;
    this.#total = total;
    this.#signal = signal;
    this.#timers = new Timers(signal);
    this.#filling = new Filling({
      missing: () => (signal.aborted ? [] : this.#missing()),
      keep,
      waitMs: ({ distance }) => (distance > box.clientHeight ? restlessMs() : 0),
      later: (ms, run) => this.#timers.after("fill", ms, run),
    });
  }

  /** Whether only a part of the message is on the page. */
  get windowed() {
    return this.#windowed;
  }

  /** Whether what comes next can be left out from its beginning. */
  get passing() {
    return this.#windowed && this.waiting >= PASSING_UNITS && !this.#filling.frozen;
  }

  /** Code points of the message. */
  get points() {
    return this.#bodies.points;
  }

  /** In the order of the page. */
  get bodies() {
    // A body that was taken back whole has left the page.
    this.#bodies.keep((body) => this.#box.contains(body.el) || body.length > 0);
    return [...this.#bodies].sort((a, b) => (a.el.compareDocumentPosition(b.el) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  }

  /** The kernel cannot be asked: what is on the page stays. @param {boolean} frozen */
  set frozen(frozen) {
    this.#filling.frozen = frozen;
  }

  /** @param {Body} body */
  add(body) {
    this.#bodies.add(body);
    if (this.#windowed) body.text.forget();
  }

  /**
   * A body has become longer or shorter.
   * @param {Body} body
   * @param {number} points that it has more
   */
  grew(body, points) {
    this.#bodies.points += points;
    this.#bodies.show(body, true);
  }

  /** When the kernel may answer again, if the same message is shown then. @param {() => void} run */
  later(run) {
    this.#later.push(run);
    if (!this.#timers.has("later")) this.#timers.after("later", AGAIN_MS, () => this.#later.splice(0).forEach((each) => each()));
  }

  /** Look again in the next frame. */
  schedule() {
    if (!this.#windowed || this.#timers.has("look")) return;
    const look = () => this.update();
    if (document.hidden) this.#timers.after("look", HIDDEN_MS, look);
    else this.#timers.frameAfter("look", 0, look);
  }

  /** Leave out what is far, ask for what is near. Call it outside of `keep`. */
  update() {
    if (this.#signal.aborted) return;
    if (!this.#windowed && this.#total() > this.#whole) {
      this.#windowed = true;
      for (const body of this.#bodies) body.text.forget();
      this.onWindowed();
    }
    if (!this.#windowed) return;
    this.#keep(() => this.#fold());
    void this.#filling.fill();
  }

  /**
   * Bring the pieces at a code point onto the page.
   * @param {Body} body
   * @param {number} at in the body
   * @returns {Promise<Group | null>} null when only the open end can hold it
   */
  async bring(body, at) {
    const holding = body.paper.holding(at);
    const text = holding?.group.out ? await body.text.slice(holding.group.from, holding.group.from + holding.group.points) : "";
    this.#keep(() => {
      this.#bodies.show(body, true);
      if (!holding) return body.showEnd();
      if (holding.section.folded) holding.section.unfold();
      if (holding.group.out) body.bringBack(holding.group, text);
    });
    return holding?.group ?? null;
  }

  /**
   * The box has another width: what is left out has another height.
   * @param {number} factor of the heights
   */
  rescale(factor) {
    for (const body of this.#bodies) body.paper.rescale(factor);
    this.#scaleFolded();
  }

  #fold() {
    // All is measured before anything is changed: each change would lay the page out anew.
    const view = this.#view();
    // Out of sight nothing can be measured, so the place would not be kept exactly: only growth drives text out.
    if (!view && this.#pointsShown() < MOST_UNSEEN_POINTS) return;
    /** @type {(() => void)[]} */
    const changes = [];
    let pieces = this.#filling.frozen ? Infinity : 0;
    let more = false;
    const going = this.#goes(view);
    for (const body of this.#bodies.worthALook(view)) {
      let shown = false;
      // The newest stays: who goes to the end finds it there, at its height.
      const settled = body.settled && !this.#bodies.isNewest(body);
      for (const section of body.paper.sections) {
        const newest = !settled && section === body.paper.sections.at(-1);
        const place = view && section.el.getBoundingClientRect();
        if (section.folded) {
          if (!place || !view.near(place, 1)) continue;
          changes.push(() => section.unfold());
          shown = true;
          more = true;
          continue;
        }
        const far = !newest && !(place && view.near(place, 2));
        let left = 0;
        for (const group of section.groups) {
          if (group.out) left++;
          else if ((settled || group !== body.paper.last) && pieces < MOST_OUT_PIECES && going(group.el, far && !place?.height)) {
            const { height } = place?.height ? group.el.getBoundingClientRect() : { height: 0 };
            changes.push(() => body.paper.leaveOut(group, height));
            pieces += group.lengths.length;
          }
        }
        if (far && left === section.groups.length) changes.push(() => this.#foldSection(section));
        else shown = true;
      }
      const { tail } = body.paper;
      if (body.paper.tailOut) {
        if (view?.near(tail.getBoundingClientRect(), 1)) changes.push(() => body.showEnd());
      } else if (settled && tail.firstChild && pieces < MOST_OUT_PIECES && going(tail, false)) {
        const { height } = tail.getBoundingClientRect();
        changes.push(() => body.paper.leaveOutTail(height, body.length));
        pieces += tail.childElementCount;
      } else shown ||= !settled || tail.firstChild !== null;
      this.#bodies.show(body, shown);
    }
    for (const change of changes) change();
    this.#scaleFolded();
    if (more || (pieces >= MOST_OUT_PIECES && pieces < Infinity)) this.schedule();
  }

  /**
   * Tells what may go: what is far, and neither selected nor has the focus.
   * @param {View | null} view
   */
  #goes(view) {
    const selection = getSelection();
    return (/** @type {HTMLElement} */ el, /** @type {boolean} */ unseen) =>
      (unseen || !view?.near(el.getBoundingClientRect(), 2)) && !selection?.containsNode(el, true) && !el.contains(document.activeElement);
  }

  /** @param {Section} section */
  #foldSection(section) {
    section.fold();
    this.#folded.add(section);
  }

  #pointsShown() {
    let points = 0;
    for (const { paper } of this.#bodies.shown()) {
      for (const section of paper.sections) if (!section.folded) for (const group of section.groups) if (!group.out) points += group.points;
    }
    return points;
  }

  /** What is folded is drawn smaller where the whole would be higher than a browser can scroll. */
  #scaleFolded() {
    let sum = 0;
    for (const section of this.#folded) {
      if (section.folded) sum += section.height;
      else this.#folded.delete(section);
    }
    const scale = Math.min(1, MOST_PX / sum);
    if (Math.abs(scale / this.#scale - 1) > SCALE_STEP) this.#scale = scale;
    for (const section of this.#folded) section.draw(this.#scale);
  }

  /** What the reader sees, or null when nobody can see it: a hidden tab of the notebook, a collapsed output. */
  #view() {
    if (this.#box.clientHeight === 0 || this.#box.offsetParent === null) return null;
    const { top, bottom } = this.#box.getBoundingClientRect();
    const ahead = Math.max(LEAST_AHEAD_PX, AHEAD * (bottom - top));
    /** @type {View} */
    const view = {
      middle: (top + bottom) / 2,
      near: (rect, times) => rect.height > 0 && rect.bottom > top - times * ahead && rect.top < bottom + times * ahead,
    };
    return view;
  }

  /** The places near the reader that wait for their pieces, the nearest first. */
  #missing() {
    const view = this.#view();
    if (!view) return [];
    /** @type {import("./filling.js").Spot[]} */
    const spots = [];
    for (const body of this.#bodies.near(view)) {
      for (const section of body.paper.sections) {
        if (section.folded || !view.near(section.el.getBoundingClientRect(), 1)) continue;
        for (const group of section.groups) {
          if (!group.out) continue;
          const rect = group.el.getBoundingClientRect();
          const distance = Math.max(rect.top - view.middle, view.middle - rect.bottom, 0);
          if (view.near(rect, 1)) spots.push({ body, group, distance });
        }
      }
    }
    return spots.sort((a, b) => a.distance - b.distance);
  }
}
