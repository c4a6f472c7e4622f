/** Which of the answers to one question is shown, and the way to the others: Regenerate keeps the old one. */

import { button, element } from "./elements.js";

export class Pager {
  el = element("nbstream-pager", "span");
  #place = document.createElement("span");
  #earlier = button("‹");
  #later = button("›");
  #at = 1;

  /**
   * @param {(answer: number) => void} onTurn counted from 1
   * @param {AbortSignal} signal
   */
  constructor(onTurn, signal) {
    this.el.hidden = true;
    this.el.setAttribute("role", "group");
    this.el.setAttribute("aria-label", "Answers to this question");
    this.#earlier.setAttribute("aria-label", "Earlier answer");
    this.#later.setAttribute("aria-label", "Later answer");
    this.#earlier.addEventListener("click", () => onTurn(this.#at - 1), { signal });
    this.#later.addEventListener("click", () => onTurn(this.#at + 1), { signal });
    this.el.append(this.#earlier, this.#place, this.#later);
  }

  /**
   * @param {import("./state.js").Shown} shown
   * @param {[number, number]} [answers] the one that is shown, and how many there are
   */
  show({ busy, link }, answers) {
    if (!answers) return; // another answer is on its way, and will say it
    const [at, of] = answers;
    const still = busy || link === "lost";
    const focused = document.activeElement;
    this.#at = at;
    this.el.hidden = of < 2;
    this.#place.textContent = `${at} of ${of}`;
    this.#earlier.disabled = still || at === 1;
    this.#later.disabled = still || at === of;
    // A button that is disabled leaves the focus to the notebook, whose keys delete cells.
    if (focused === this.#earlier && this.#earlier.disabled) this.#later.focus({ preventScroll: true });
    else if (focused === this.#later && this.#later.disabled) this.#earlier.focus({ preventScroll: true });
  }
}
