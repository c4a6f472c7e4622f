/**
 * One agent's place in the view: a box that scrolls and follows its newest text, and, beside other agents, a head. It
 * moves nothing but its own text.
 */

import { Head } from "./agents_head.js";
import { button, element } from "./elements.js";
import { Lane } from "./lane.js";
import { Scroll } from "./scroll.js";
import { isLive } from "./state.js";
import { Windowing } from "./windowing.js";

export class Pane {
  el = element("nbstream-pane");
  box = element("nbstream-box");
  /** Whose child this agent is. */
  parent = "";
  /** @type {Head | null} only beside other agents */
  head = null;
  #content = element("nbstream-content");
  #jump = button("Jump to newest", "nbstream-jump");
  #signal;
  #onAction;
  #width = 0;
  /** All its text is there and its last line whole. */
  #ended = false;
  /** Folded or unfolded by the reader, who knows better. */
  #byHand = false;

  /**
   * @param {string} agent
   * @param {object} options
   * @param {import("./body.js").Shared} options.shared
   * @param {() => number} options.total code points of all panes: what a page can bear is a matter of all of them
   * @param {() => void} options.onWindowed
   * @param {(action: import("./state.js").Action) => void} options.onAction
   * @param {AbortSignal} options.signal
   */
  constructor(agent, { shared, total, onWindowed, onAction, signal }) {
    this.agent = agent;
    this.#signal = signal;
    this.#onAction = onAction;
    this.#jump.hidden = true;
    this.box.append(this.#content);
    this.el.append(this.box, this.#jump);
    this.scroll = new Scroll(this.box, this.#content, signal);
    this.windowing = new Windowing(this.box, {
      keep: (change) => this.scroll.keep(change),
      restlessMs: () => this.scroll.restlessMs,
      total,
      signal,
    });
    this.windowing.onWindowed = onWindowed;
    this.lane = new Lane(agent, { ...shared, windowing: this.windowing });
    this.lane.named = agent !== "assistant";
    this.#content.append(this.lane.el);
    this.box.toggleAttribute("data-empty", true);

    this.scroll.onMoved = () => {
      this.#showJump();
      this.windowing.schedule();
    };
    this.#jump.addEventListener("click", () => this.#jumpToNewest(), { signal });
    const sizes = new ResizeObserver(() => this.#resized());
    sizes.observe(this.box);
    sizes.observe(this.#content);
    signal.addEventListener("abort", () => sizes.disconnect());
  }

  /** Show whose words these are, with buttons of its own. */
  addHead() {
    if (this.head) return;
    const { agent, lane } = this;
    this.head = new Head(agent, { heading: lane.heading, onAction: this.#onAction, onFold: () => this.#foldByHand(), signal: this.#signal });
    lane.named = true;
    this.el.prepend(this.head.el);
    this.el.dataset.agent = agent;
    this.el.setAttribute("role", "group");
    this.el.setAttribute("aria-label", agent);
    this.state = this.state;
  }

  get state() {
    return this.lane.el.dataset.state ?? "connecting";
  }

  set state(/** @type {string} */ state) {
    this.lane.el.dataset.state = state;
    this.el.dataset.state = state;
  }

  /** @param {import("./records.js").Write} write */
  write(write) {
    this.#ended = false;
    this.lane.write(write);
  }

  /** @param {boolean} settled all that is recorded has been written */
  paint(settled) {
    if (settled && !this.#ended && !isLive(this.state)) {
      this.#ended = true;
      this.lane.end();
    }
    this.lane.paint();
    this.box.toggleAttribute("data-empty", this.lane.empty);
  }

  // --- folding --------------------------------------------------------------------------------------------------------

  get folded() {
    return "folded" in this.el.dataset;
  }

  /** Fold it if its agent is at rest, unfold it when it goes on; never against the reader's own choice, or his use of it. */
  foldAtRest() {
    const folded = !isLive(this.state) && this.#ended;
    if (folded !== this.folded && !this.#byHand && !this.#used) this.#fold(folded);
  }

  /** Something in it is to be seen. */
  reveal() {
    if (!this.folded) return;
    this.#byHand = true;
    this.#fold(false);
  }

  get #used() {
    const selection = getSelection();
    const selected = selection !== null && !selection.isCollapsed && selection.containsNode(this.el, true);
    return selected || this.el.contains(document.activeElement);
  }

  #foldByHand() {
    this.#byHand = true;
    this.#fold(!this.folded);
  }

  /** @param {boolean} folded */
  #fold(folded) {
    this.el.toggleAttribute("data-folded", folded);
    this.head?.fold(folded ? this.lane.gist : null);
    this.#showJump();
  }

  // --- the box --------------------------------------------------------------------------------------------------------

  #jumpToNewest() {
    this.scroll.follow(true);
    this.box.focus({ preventScroll: true });
  }

  #showJump() {
    this.#jump.hidden = this.folded || this.scroll.following || !this.#scrolls;
  }

  get #scrolls() {
    return this.box.scrollHeight > this.box.clientHeight + 1;
  }

  #resized() {
    if (this.scroll.hidden) return this.scroll.restore();
    // Only a box that scrolls is a stop for the keyboard and has something to resize.
    this.box.classList.toggle("nbstream-scrolls", this.#scrolls || this.box.style.height !== "");
    if (this.#scrolls) this.box.tabIndex = 0;
    else this.box.removeAttribute("tabindex");
    const { clientWidth } = this.box;
    const factor = this.#width / clientWidth || 1;
    this.#width = clientWidth;
    this.scroll.keep(() => {
      if (factor !== 1) this.windowing.rescale(factor);
    });
    this.#showJump();
    this.windowing.schedule();
  }
}
