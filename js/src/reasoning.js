/** What the model lets us see of its thinking: folded, with its size, and whether it goes on. */

import { Folded } from "./folded.js";
import { Passage } from "./passage.js";

export class Reasoning extends Passage {
  /** Whether more of it is being written. */
  going = true;
  #folded = new Folded("nbstream-reasoning", "Reasoning");

  /**
   * @param {string} agent
   * @param {number} from
   * @param {object} [options]
   */
  constructor(agent, from, options) {
    super("reasoning", agent, from, options);
    this.#folded.el.append(this.el);
    this.el = this.#folded.el;
  }

  /** @override */
  paint() {
    const through = super.paint();
    const size = `${this.length.toLocaleString("en-US")} character${this.length === 1 ? "" : "s"}`;
    this.#folded.facts = this.going ? `${size}, goes on ...` : size;
    return through;
  }
}
