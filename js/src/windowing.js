/**
 * Which groups of a long message have their pieces on the page: up to 2 MB all of them, above that those near the reader
 * and the newest. The others leave a place of their height, and are read from the log again when the reader comes near.
 */

import { cutInto } from "./source.js";

/** @typedef {import("./body.js").Body} Body */
/** @typedef {import("./group.js").Group} Group */
/** @typedef {import("./paper.js").Section} Section */
/** @typedef {{body: Body, group: Group, section: Section}} Spot */

/** Code points of the whole message up to which everything stays: find, copy, print and screen readers see it all. */
const WHOLE_POINTS = 2_000_000;
/** Groups come back this many heights of the box ahead of the reader, and go twice as far behind him. */
const AHEAD = 2;
const LEAST_AHEAD_PX = 2_000;
/** Chromium clamps heights at 33.5 million px (about 100 MB); above this, what is folded stands for more than it shows. */
const MOST_PX = 16_000_000;
/** Code points asked for at once: some groups, one answer of the kernel. */
const READ_POINTS = 65_536;
/** After a range could not be read. */
const AGAIN_MS = 2_000;
/** Removing takes time too: 2 MB at once would be a long task. */
const MOST_OUT = 24;
/** Groups that stay while nobody can see the box; about 2 MB. */
const MOST_UNSEEN = 200;

export class Windowing {
  #box;
  #signal;
  #keep;
  #restlessMs;
  #whole;
  #total;
  /** @type {Body[]} */
  #bodies = [];
  #windowed = false;
  #scheduled = false;
  #filling = false;
  #againAt = 0;
  /** The kernel cannot be asked: what is on the page stays. */
  frozen = false;
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
    this.#restlessMs = restlessMs;
    this.#whole = whole;
    this.#total = total;
    this.#signal = signal;
  }

  /** Whether only a part of the message is on the page. */
  get windowed() {
    return this.#windowed;
  }

  /** Code points of the message. */
  get points() {
    return this.#bodies.reduce((sum, body) => sum + body.length, 0);
  }

  /** In the order of the page. */
  get bodies() {
    // A body that was taken back whole has left the page.
    this.#bodies = this.#bodies.filter((body) => this.#box.contains(body.el) || body.length > 0);
    return this.#bodies.sort((a, b) => (a.el.compareDocumentPosition(b.el) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  }

  /** @param {Body} body */
  add(body) {
    this.#bodies.push(body);
    if (this.#windowed) body.text.forget();
  }

  clear() {
    this.#bodies = [];
    this.#windowed = false;
    this.#againAt = 0;
  }

  /** Look again in the next frame. */
  schedule() {
    if (!this.#windowed || this.#scheduled || this.#signal.aborted) return;
    this.#scheduled = true;
    const look = () => {
      this.#scheduled = false;
      this.update();
    };
    // A hidden tab has no frames, and still grows.
    const frame = document.hidden ? 0 : requestAnimationFrame(look);
    const timer = document.hidden ? setTimeout(look, 250) : undefined;
    this.#signal.addEventListener("abort", () => (cancelAnimationFrame(frame), clearTimeout(timer)), { once: true });
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
    if (!this.#filling) void this.#fill();
  }

  /**
   * Bring the pieces at a code point onto the page.
   * @param {Body} body
   * @param {number} at in the body
   * @returns {Promise<Group | null>} null when only the open end can hold it
   */
  async bring(body, at) {
    const holding = body.paper.holding(at);
    if (!holding) return null;
    const { section, group } = holding;
    const text = group.pieces ? "" : await body.text.slice(group.from, group.from + group.points);
    this.#keep(() => {
      if (section.folded) section.unfold();
      if (!group.pieces) this.#bringBack(body, group, text);
    });
    return group;
  }

  /**
   * The box has another width: what is left out has another height.
   * @param {number} factor of the heights
   */
  rescale(factor) {
    for (const body of this.#bodies) body.paper.rescale(factor);
    this.#scale();
  }

  // --- leaving out ----------------------------------------------------------------------------------------------------

  #fold() {
    // All is measured before anything is changed: each change would lay the page out anew.
    const view = this.#view();
    // Out of sight nothing can be measured, so the place would not be kept exactly: only growth drives text out.
    if (!view && this.#present() < MOST_UNSEEN) return;
    const selection = getSelection();
    /** @type {{body: Body, group: Group, height: number}[]} */
    const out = [];
    /** @type {{section: Section, height: number}[]} */
    const folding = [];
    /** @type {Section[]} */
    const unfolding = [];
    for (const body of this.#bodies) {
      for (const section of body.paper.sections) {
        const newest = section === body.paper.sections.at(-1);
        const place = view && section.el.getBoundingClientRect();
        if (section.folded) {
          if (place && view.near(place, 1)) unfolding.push(section);
          continue;
        }
        const far = !newest && !(place && view.near(place, 2));
        let left = 0;
        let height = 0;
        for (const group of section.groups) {
          if (group.pieces && group !== body.paper.last && out.length < MOST_OUT && !this.frozen) {
            const rect = far && !place?.height ? null : view && group.el.getBoundingClientRect();
            const goes = (!rect || !view?.near(rect, 2)) && !selection?.containsNode(group.el, true) && !group.el.contains(document.activeElement);
            if (goes) out.push({ body, group, height: rect?.height ?? 0 });
          }
          if (!group.pieces) left++;
          height += group.height;
        }
        if (far && left === section.groups.length) folding.push({ section, height });
      }
    }
    for (const { body, group, height } of out) body.paper.leaveOut(group, height);
    for (const { section, height } of folding) section.fold(height);
    for (const section of unfolding) section.unfold();
    this.#scale();
    if (out.length >= MOST_OUT || unfolding.length > 0) this.schedule();
  }

  /** Groups on the page. */
  #present() {
    let count = 0;
    for (const { paper } of this.#bodies) for (const group of paper.groups()) if (group.pieces) count++;
    return count;
  }

  /** What is folded is drawn smaller where the whole would be higher than a browser can scroll. */
  #scale() {
    const folded = this.#bodies.flatMap((body) => body.paper.sections.filter((section) => section.folded));
    const sum = folded.reduce((height, section) => height + section.height, 0);
    const scale = Math.min(1, MOST_PX / sum);
    for (const { el, height } of folded) {
      const shown = `${Math.round(height * scale)}px`;
      if (el.style.height !== shown) el.style.height = shown;
    }
  }

  /** What the reader sees, or null when nobody can see it: a hidden tab of the notebook, a collapsed output. */
  #view() {
    if (this.#box.clientHeight === 0 || this.#box.offsetParent === null) return null;
    const { top, bottom } = this.#box.getBoundingClientRect();
    const ahead = Math.max(LEAST_AHEAD_PX, AHEAD * (bottom - top));
    return {
      middle: (top + bottom) / 2,
      near: (/** @type {DOMRect} */ rect, /** @type {number} */ times) =>
        rect.height > 0 && rect.bottom > top - times * ahead && rect.top < bottom + times * ahead,
    };
  }

  // --- bringing back --------------------------------------------------------------------------------------------------

  async #fill() {
    this.#filling = true;
    try {
      for (let spots = this.#missing(); spots.length > 0 && !this.#signal.aborted; spots = this.#missing()) {
        if (performance.now() < this.#againAt) break;
        const first = /** @type {Spot & {distance: number}} */ (spots[0]);
        const restless = this.#restlessMs();
        if (first.distance > this.#box.clientHeight && restless > 0) {
          await turn(restless); // only what is in sight, or soon is, is worth to disturb a scroll
          continue;
        }
        const run = neighbours(first, spots);
        const from = /** @type {Spot} */ (run[0]).group.from;
        const last = /** @type {Spot} */ (run.at(-1)).group;
        const text = await first.body.text.slice(from, last.from + last.points);
        const pieces = cutInto(text, run.map(({ group }) => group.points));
        if (!pieces) throw new Error("this part of the log reads differently now");
        for (const [i, { body, group }] of run.entries()) {
          if (group.pieces || !group.el.isConnected) continue;
          this.#keep(() => this.#bringBack(body, group, /** @type {string} */ (pieces[i])));
          await turn();
        }
      }
    } catch (why) {
      this.#failed(/** @type {Error} */ (why).message);
    } finally {
      this.#filling = false;
    }
  }

  /**
   * @param {Body} body
   * @param {Group} group
   * @param {string} text
   */
  #bringBack(body, group, text) {
    const sources = cutInto(text, group.lengths);
    if (!sources) throw new Error("this part of the log reads differently now");
    group.bringBack(sources, (source, recipe) => body.render(source, recipe));
  }

  /** @param {string} why */
  #failed(why) {
    if (this.#signal.aborted) return;
    for (const { group } of this.#missing()) group.el.dataset.missing = `Saved, but not on this page: ${why}.`;
    this.#againAt = performance.now() + AGAIN_MS;
    const timer = setTimeout(() => this.update(), AGAIN_MS);
    this.#signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }

  /** The places near the reader that wait for their pieces, the nearest first. */
  #missing() {
    const view = this.#view();
    if (!view) return [];
    /** @type {(Spot & {distance: number})[]} */
    const spots = [];
    for (const body of this.#bodies) {
      for (const section of body.paper.sections) {
        if (section.folded || !view.near(section.el.getBoundingClientRect(), 1)) continue;
        for (const group of section.groups) {
          if (group.pieces) continue;
          const rect = group.el.getBoundingClientRect();
          const distance = Math.max(rect.top - view.middle, view.middle - rect.bottom, 0);
          if (view.near(rect, 1)) spots.push({ body, group, section, distance });
        }
      }
    }
    return spots.sort((a, b) => a.distance - b.distance);
  }
}

/**
 * The spots that join on to the first one, in order, as many as one read should bring.
 * @param {Spot} first
 * @param {Spot[]} spots
 * @returns {Spot[]}
 */
function neighbours(first, spots) {
  const run = [first];
  let points = first.group.points;
  for (const spot of spots.slice(1)) {
    const begin = /** @type {Spot} */ (run[0]).group.from;
    const end = /** @type {Spot} */ (run.at(-1)).group;
    if (spot.body !== first.body || points + spot.group.points > READ_POINTS) break;
    if (spot.group.from === end.from + end.points) run.push(spot);
    else if (spot.group.from + spot.group.points === begin) run.unshift(spot);
    else break;
    points += spot.group.points;
  }
  return run;
}

/** Let the page do what waits: input, a frame. */
const turn = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));
