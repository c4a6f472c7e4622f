/** Brings pieces that were left out back onto the page when the reader comes near: they are read from the log, nearest first. */

import { cutInto } from "./source.js";

/** @typedef {import("./body.js").Body} Body */
/** @typedef {import("./group.js").Group} Group */
/** @typedef {{body: Body, group: Group, distance: number}} Spot a place near the reader, its distance in px */

/** Code points asked for at once: some groups, one answer of the kernel. */
const READ_POINTS = 65_536;
/** After a range could not be read. */
const AGAIN_MS = 2_000;

export class Filling {
  #missing;
  #keep;
  #waitMs;
  #later;
  #filling = false;
  #againAt = 0;
  /** The kernel cannot be asked. */
  frozen = false;

  /**
   * @param {object} options
   * @param {() => Spot[]} options.missing the places near the reader that wait for their pieces, the nearest first
   * @param {(change: () => void) => void} options.keep makes a change without moving what the reader sees
   * @param {(spot: Spot) => number} options.waitMs only what is in sight, or soon is, is worth to disturb a scroll
   * @param {(ms: number, run: () => void) => void} options.later
   */
  constructor({ missing, keep, waitMs, later }) {
    this.#missing = missing;
    this.#keep = keep;
    this.#waitMs = waitMs;
    this.#later = later;
  }

  async fill() {
    if (this.#filling) return;
    this.#filling = true;
    try {
      for (let spots = this.#missing(); spots.length > 0; spots = this.#missing()) {
        if (this.frozen) {
          for (const { group } of spots) say(group, "the kernel is gone");
          break;
        }
        if (performance.now() < this.#againAt) break;
        const first = /** @type {Spot} */ (spots[0]);
        const wait = this.#waitMs(first);
        if (wait > 0) await turn(wait);
        else await this.#read(neighbours(first, spots));
      }
    } catch (why) {
      this.#failed(/** @type {Error} */ (why).message);
    } finally {
      this.#filling = false;
    }
  }

  /** @param {Spot[]} run that join on to each other */
  async #read(run) {
    const { body, group: first } = /** @type {Spot} */ (run[0]);
    const { group: last } = /** @type {Spot} */ (run.at(-1));
    const text = await body.text.slice(first.from, last.from + last.points);
    const pieces = cutInto(text, run.map(({ group }) => group.points));
    if (!pieces) throw new Error("this part of the log reads differently now");
    for (const [i, { group }] of run.entries()) {
      if (!group.out || !group.el.isConnected) continue;
      this.#keep(() => body.bringBack(group, /** @type {string} */ (pieces[i])));
      await turn();
    }
  }

  /** @param {string} why */
  #failed(why) {
    for (const { group } of this.#missing()) say(group, why);
    this.#againAt = performance.now() + AGAIN_MS;
    this.#later(AGAIN_MS, () => void this.fill());
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

/**
 * @param {Group} group
 * @param {string} why its text is not there
 */
function say(group, why) {
  group.el.dataset.missing = `Saved, but not on this page: ${why}.`;
}

/** Let the page do what waits: input, a frame. */
const turn = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));
