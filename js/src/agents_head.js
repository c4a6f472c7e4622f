/** What stands above one of several agents: its name, whose child it is, its state in words, its buttons; and folds it. */

import { Controls } from "./controls.js";
import { button, element } from "./elements.js";

/** Of the first and the last line; the rest is cut by the width there is anyway. */
const GIST_UNITS = 200;

export class Head {
  el = element("nbstream-head");
  #agent;
  #fold = button("", "nbstream-fold");
  #of = element("nbstream-of", "span");
  #gist = element("nbstream-gist");

  /**
   * @param {string} agent
   * @param {object} options
   * @param {HTMLElement} options.heading its name, as its lane has it
   * @param {(action: import("./state.js").Action) => void} options.onAction
   * @param {() => void} options.onFold
   * @param {AbortSignal} options.signal
   */
  constructor(agent, { heading, onAction, onFold, signal }) {
    this.#agent = agent;
    const title = element("nbstream-title");
    this.#fold.setAttribute("aria-label", `${agent}: its text`);
    this.#fold.setAttribute("aria-expanded", "true");
    this.#fold.addEventListener("click", onFold, { signal });
    this.#gist.hidden = true;
    title.append(this.#fold, heading, this.#of);
    this.el.append(title, this.#gist);
    this.controls = new Controls(this.el, { agent, onAction, signal });
    title.after(this.controls.el);
  }

  /** @param {string} parent */
  set parent(parent) {
    this.#of.textContent = parent ? `child of ${parent}` : "";
  }

  /** @param {[string, string] | null} ends first and last line of what is folded; null when nothing is */
  fold(ends) {
    this.#fold.setAttribute("aria-expanded", String(!ends));
    this.#gist.hidden = !ends || !ends[0];
    const lines = (ends ?? []).filter((line, i, all) => line && line !== all[i - 1]);
    this.#gist.replaceChildren(...lines.map((line) => {
      const el = element("nbstream-gist-line");
      el.textContent = line.slice(0, GIST_UNITS);
      return el;
    }));
    this.#gist.title = ends ? `${this.#agent}, folded: first and last line` : "";
  }
}
