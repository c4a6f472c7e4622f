/**
 * The line above the answer: its buttons, and its state in words.
 *
 * Above, and the buttons first, because nothing there moves while text grows: Stop stays under the mouse. What is always
 * there stands before what comes and goes, or at the other end. In Stop's place stands at once what comes next, so a
 * click that was meant for Stop must not hit it.
 */

import { button, element } from "./elements.js";
import { BUTTONS } from "./state.js";

/** @typedef {import("./state.js").Action} Action */

/** How long a button says what became of its work. */
const TOLD_MS = 1_500;
/** Nobody sees a button appear under a mouse at rest and decides to click on it in less time. */
const SURPRISE_MS = 1_000;

export class Controls {
  el = document.createElement("div");
  #agent;
  #line = document.createElement("span");
  #why = element("nbstream-unseen", "span");
  #said = element("nbstream-said nbstream-unseen", "span");
  #actions = document.createElement("span");
  #views = element("nbstream-views", "span");
  /** @type {Map<Action, HTMLButtonElement>} */
  #buttons = new Map();
  /** @type {Map<Action, ReturnType<typeof setTimeout>>} */
  #telling = new Map();
  #state = "";
  #offered = "";
  /** Until then, or until the mouse moves, clicks of the mouse are meant for buttons that are gone. */
  #surpriseUntil = 0;

  /**
   * @param {HTMLElement} parent
   * @param {object} options
   * @param {(action: Action) => void} options.onAction
   * @param {string} [options.agent] whose they are; without it they are for the whole answer
   * @param {AbortSignal} options.signal
   */
  constructor(parent, { onAction, agent = "", signal }) {
    this.#agent = agent;
    const whose = agent ? "agent-" : "";
    this.el.className = `nbstream-${whose}bar`;
    this.el.addEventListener("focusout", () => this.el.removeAttribute("tabindex"), { signal });
    this.#line.className = `nbstream-${whose}state`;
    if (!agent) this.#line.setAttribute("role", "status");
    if (!agent) this.#line.setAttribute("aria-live", "off");
    this.#why.id = `nbstream-why-${Math.random().toString(36).slice(2)}`;
    // Numbers change all the time in the line; spoken is what is put here: new states, and what became of a click.
    this.#said.setAttribute("aria-live", "polite");
    this.#actions.className = `nbstream-${whose}actions`;
    for (const [action, name] of BUTTONS) {
      const el = button(name);
      el.hidden = true;
      if (agent) el.setAttribute("aria-label", `${agent}: ${name}`);
      el.addEventListener("click", (event) => this.#meant(event) && onAction(action), { signal });
      this.#buttons.set(action, el);
      if (action === "copy") this.#actions.prepend(el);
      else this.#actions.append(el);
    }
    const moved = (/** @type {PointerEvent} */ event) => {
      if (event.movementX || event.movementY) this.#surpriseUntil = 0;
    };
    this.#actions.addEventListener("pointermove", moved, { signal, passive: true });
    this.el.append(this.#actions, this.#line, this.#views, this.#why, this.#said);
    parent.prepend(this.el);
    signal.addEventListener("abort", () => this.#telling.forEach((timer) => clearTimeout(timer)));
  }

  /** @param {import("./state.js").Shown} shown */
  show(shown) {
    if (this.#line.textContent !== shown.line) this.#line.textContent = shown.line;
    this.#explain(shown.line, shown.why ?? "");
    // Of agents only how they end: twenty that begin, or lose their kernel at once, would drown everything else.
    const whole = `${shown.link} ${shown.state} ${shown.actions.includes("interrupt") ? "no answer" : ""}`;
    const state = this.#agent ? shown.state : whole;
    if (state !== this.#state && this.#state && !(this.#agent && shown.busy)) this.#say(shown.line);
    this.#state = state;
    this.#offer(shown);
  }

  /** Which answer is shown, and how: at the other end of the line. @param {HTMLElement} el */
  add(el) {
    this.#views.append(el);
  }

  /**
   * How far a long action is, on its button.
   * @param {Action} action
   * @param {number | null} share 0 to 1; null when it is over
   */
  progress(action, share) {
    const button = this.#buttons.get(action);
    if (!button) return;
    if (share === null) delete button.dataset.progress;
    else button.dataset.progress = `${Math.floor(100 * share)} %`;
  }

  /**
   * A button has done its work.
   * @param {Action} action
   * @param {string} [says]
   */
  done(action, says = `${BUTTONS.get(action)}: done.`) {
    this.#tell(action, "done", says);
  }

  /**
   * A button could not do its work.
   * @param {Action} action
   * @param {string} [why]
   */
  failed(action, why = `${BUTTONS.get(action)}: failed.`) {
    this.#tell(action, "failed", why);
  }

  /** @param {import("./state.js").Shown} shown */
  #offer({ actions, empty }) {
    const focused = document.activeElement;
    const had = [...this.#buttons.values()].find((button) => button === focused);
    const copy = this.#buttons.get("copy");
    for (const [action, button] of this.#buttons) button.hidden = !actions.includes(action);
    if (copy) copy.disabled = empty;
    const offered = actions.join(" ");
    if (offered !== this.#offered && this.#actions.matches(":hover")) this.#surpriseUntil = performance.now() + SURPRISE_MS;
    this.#offered = offered;
    if (had && (had.hidden || had.disabled)) this.#keepFocus();
  }

  /** Focus must not fall back to the notebook, nor to a button that does something else than the one that had it. */
  #keepFocus() {
    const copy = this.#buttons.get("copy");
    if (copy && !copy.hidden && !copy.disabled) return copy.focus({ preventScroll: true });
    this.el.tabIndex = -1;
    this.el.focus({ preventScroll: true });
  }

  /** @param {MouseEvent} event */
  #meant(event) {
    const byMouse = event.detail > 0;
    return !byMouse || performance.now() >= this.#surpriseUntil;
  }

  /**
   * @param {string} line which may be cut
   * @param {string} why
   */
  #explain(line, why) {
    const title = why ? `${line}\n${why}` : line;
    if (this.#line.title !== title) this.#line.title = title;
    if (this.#why.textContent === why) return;
    this.#why.textContent = why;
    if (why) this.#line.setAttribute("aria-describedby", this.#why.id);
    else this.#line.removeAttribute("aria-describedby");
  }

  /**
   * @param {Action} action
   * @param {"done" | "failed"} outcome
   * @param {string} says
   */
  #tell(action, outcome, says) {
    const button = this.#buttons.get(action);
    if (!button) return;
    this.#say(says);
    delete button.dataset.done;
    delete button.dataset.failed;
    button.dataset[outcome] = "";
    if (outcome === "failed") button.title = says;
    else button.removeAttribute("title");
    clearTimeout(this.#telling.get(action));
    this.#telling.set(action, setTimeout(() => delete button.dataset[outcome], TOLD_MS));
  }

  /** @param {string} text */
  #say(text) {
    if (this.#agent) text = `${this.#agent}: ${text}`;
    // The same words once more are no change, and would not be spoken.
    this.#said.textContent = this.#said.textContent === text ? `${text}\u00a0` : text;
  }
}
