/** Gaps in one agent's text: frames that never came. One that comes after all is shown at its place. */

import { gap } from "./marks.js";
import { Passage } from "./passage.js";
import { indexBehind } from "./records.js";

/** @typedef {import("./records.js").Part} Part */
/** @typedef {{number: number, text: string, el: HTMLElement}} Late `number` is that of the frame */
/** @typedef {{part: Part, el: HTMLElement, late: Late[]}} Gap what came late is in the order of its frames */

export class Gaps {
  /** In the order of the text. @type {Gap[]} */
  #gaps = [];
  /** @type {Passage[]} */
  #changed = [];

  /**
   * The line that says what is missing.
   * @param {Part} part
   */
  add(part) {
    const el = gap(part);
    this.#gaps.push({ part, el, late: [] });
    return el;
  }

  /**
   * Show what came late, above the line of its gap, which goes with the last of it.
   * @param {Part} part
   */
  fill(part) {
    const number = Number(part.number);
    const here = this.#gaps.filter((one) => one.part.at === part.at);
    const one = here.find(({ part: { expected, got } }) => Number(expected) <= number && number < Number(got)) ?? here[0];
    if (!one) return;
    const text = String(part.text ?? "");
    const passage = new Passage("text", "", 0); // it stands alone: its code points are none of the text around it
    passage.write(text);
    passage.end();
    this.#changed.push(passage);
    const next = one.late.findIndex((other) => other.number > number);
    (one.late[next]?.el ?? one.el).before(passage.el);
    one.late.splice(next < 0 ? one.late.length : next, 0, { number, text, el: passage.el });
    if (part.closes) one.el.hidden = true;
  }

  /**
   * The source of a passage with what came late at its places.
   * @param {Passage} passage
   * @param {string} source
   */
  whole({ kind, from, length }, source) {
    if (kind !== "text") return source;
    return this.#gaps.reduceRight((text, { part, late }) => {
      const at = Number(part.at ?? -1) - from;
      // What belongs between two passages ends the first.
      if (at > length || at < 0 || (at === 0 && from > 0)) return text;
      const index = indexBehind(text, at);
      return text.slice(0, index) + late.map((one) => one.text).join("") + text.slice(index);
    }, source);
  }

  paint() {
    for (const passage of this.#changed) passage.paint();
    this.#changed = [];
  }
}
