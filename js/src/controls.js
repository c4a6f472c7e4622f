/**
 * The line below the answer: its state in words, and the buttons that state offers.
 */

import { BUTTONS } from "./state.js";

/** How long a button says that it has done its work. */
const DONE_MS = 1_500;

export class Controls {
  #line = document.createElement("span");
  #actions = document.createElement("span");
  /** @type {Map<import("./state.js").Action, HTMLButtonElement>} */
  #buttons = new Map();
  #state = "";
  #signal;

  /**
   * @param {HTMLElement} parent
   * @param {object} options
   * @param {(action: import("./state.js").Action) => void} options.onAction
   * @param {AbortSignal} options.signal
   */
  constructor(parent, { onAction, signal }) {
    this.#signal = signal;
    const foot = document.createElement("div");
    foot.className = "nbstream-foot";
    this.#line.className = "nbstream-state";
    this.#line.setAttribute("role", "status");
    this.#actions.className = "nbstream-actions";
    for (const [action, name] of BUTTONS) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.hidden = true;
      button.addEventListener("click", () => onAction(action), { signal });
      this.#buttons.set(action, button);
      this.#actions.append(button);
    }
    foot.append(this.#line, this.#actions);
    parent.append(foot);
  }

  /** @param {import("./state.js").Shown} shown */
  show(shown) {
    // A new state is worth a word to a screen reader, every new number in it is not.
    const state = `${shown.link} ${shown.state}`;
    this.#line.setAttribute("aria-live", state === this.#state ? "off" : "polite");
    this.#state = state;
    if (this.#line.textContent !== shown.line) this.#line.textContent = shown.line;
    this.#line.title = shown.why ?? "";
    for (const [action, button] of this.#buttons) {
      const hidden = !shown.actions.includes(action);
      // Focus must not fall back to the notebook, where a key would run or delete a cell.
      if (hidden && document.activeElement === button) this.#buttons.get("copy")?.focus({ preventScroll: true });
      button.hidden = hidden;
    }
  }

  /** @param {import("./state.js").Action} action */
  done(action) {
    const button = this.#buttons.get(action);
    if (!button) return;
    button.dataset.done = "";
    const timer = setTimeout(() => delete button.dataset.done, DONE_MS);
    this.#signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it is on the clipboard
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // no clipboard in a page without TLS, or not allowed
  }
}

/** @param {string} text */
function copyBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.style.cssText = "position:fixed;opacity:0";
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}
