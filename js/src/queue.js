/** What came and is not painted yet. */

import { cutWhole } from "./records.js";

/**
 * `upto`: the page's last record, with the last of its writes; `units`: what it costs to paint, in UTF-16 units of text.
 * @typedef {import("./records.js").Write & {upto?: number | undefined, units: number}} Waiting
 */

/** An answer brings a megabyte; while more than that waits to be painted the next one would only fill the memory. */
const MOST = 1_000_000;
/** A part without text is elements all the same: a tool call costs about as much as so much text, and what it carries. */
const PART_UNITS = 200;

export class Queue {
  units = 0;
  /** @type {Waiting[]} */
  #writes = [];

  get empty() {
    return this.#writes.length === 0;
  }

  /** Whether more is welcome. */
  get room() {
    return this.units < MOST;
  }

  /**
   * @param {import("./records.js").Write[]} writes
   * @param {number} upto the record they end with
   */
  add(writes, upto) {
    for (const [i, write] of writes.entries()) {
      const units = write.text.length || PART_UNITS + JSON.stringify(write.part).length;
      this.#writes.push({ ...write, units, upto: i === writes.length - 1 ? upto : undefined });
      this.units += units;
    }
  }

  /**
   * @param {number} most units, of which a part without text takes as many as it needs
   * @returns {Waiting[]}
   */
  take(most) {
    const taken = [];
    let count = 0;
    while (count < this.#writes.length && most >= 2) {
      const write = /** @type {Waiting} */ (this.#writes[count]);
      const [text, rest] = cutWhole(write.text, most);
      const units = write.units - rest.length;
      taken.push(rest ? { ...write, text, units, upto: undefined } : write);
      most -= units;
      this.units -= units;
      if (rest) {
        this.#writes[count] = { ...write, text: rest, units: rest.length };
        break;
      }
      count++;
    }
    this.#writes.splice(0, count);
    return taken;
  }
}
