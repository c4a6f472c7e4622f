/**
 * Where the answer stands: a pane for each agent, side by side where there is room. One agent alone is one pane without
 * a head. The notebook around it never moves.
 */

import { InOrder } from "./agents_in_order.js";
import { button, element } from "./elements.js";
import { Pane } from "./pane.js";
import { isLive, of } from "./state.js";

/** @typedef {import("./state.js").Action} Action */
/** @typedef {import("./state.js").Shown} Shown */

/** Keys that scroll a box or that a notebook takes for commands (dd deletes a cell). */
const SUPPRESS = "data-lm-suppress-shortcuts";
/** With more agents than this, those at rest fold. */
const MOST_UNFOLDED = 6;

export class Viewport {
  /** Side by side, or in order; offered where there are several agents. */
  orderToggle = button("In order", "nbstream-order");
  #frame = element("nbstream-frame");
  #beside = element("nbstream-panes");
  #openFind = button("Find", "nbstream-find-open");
  /** In the order of the page. @type {Pane[]} */
  #panes = [];
  #inOrder;
  /** Once it is here it needs no kernel to open. @type {import("./find.js").Find | null} */
  #find = null;
  #loadingFind = false;
  #linked = false;
  #signal;
  #parts;
  #shared;
  #onAction;
  /** Ends what belongs to the answer that is shown. */
  #shown = new AbortController();
  /** How an agent stands, as last heard. @type {(agent: string) => string} */
  #stateOf = () => "connecting";
  /** Panes that come follow their newest text. */
  #following = true;

  /**
   * @param {HTMLElement} parent
   * @param {AbortSignal} signal
   * @param {object} options
   * @param {import("./reads.js").Reads} options.reads
   * @param {import("./parts.js").Parts} [options.parts]
   * @param {(action: Action, agent: string) => void} options.onAction
   */
  constructor(parent, signal, { reads, parts, onAction }) {
    this.#signal = signal;
    this.#parts = parts;
    this.#onAction = onAction;
    this.#shared = { reads, ...(parts && { parts }) };
    this.#inOrder = new InOrder(signal, parts);
    this.#frame.tabIndex = -1;
    this.orderToggle.hidden = this.#openFind.hidden = true;
    this.#frame.append(this.#openFind, this.#beside);
    parent.append(this.#frame);

    this.#openFind.addEventListener("click", () => this.#find?.open(), { signal });
    this.orderToggle.addEventListener("click", () => this.#setInOrder(!this.#inOrder.shown), { signal });
    for (const type of ["pointerleave", "focusout"]) {
      this.#beside.addEventListener(type, () => queueMicrotask(() => this.#foldAtRest()), { signal });
    }
    signal.addEventListener("abort", () => this.#shown.abort());
    // In front of JupyterLab's own listener at the document: our keys are not its shortcuts, Ctrl+S still is.
    addEventListener("keydown", (event) => this.#key(event), { capture: true, signal });
  }

  /** Code points shown. */
  get chars() {
    return this.#panes.reduce((sum, pane) => sum + pane.windowing.points, 0);
  }

  /** Whether all that was written is painted as it stands. */
  get through() {
    return this.#panes.every(({ lane }) => lane.through);
  }

  /** Whether only a part of the answer is on the page. */
  get windowed() {
    return this.#panes.some((pane) => pane.windowing.windowed);
  }

  /** Of the agents that have buttons of their own. @returns {Map<string, import("./controls.js").Controls>} */
  get controls() {
    return new Map(this.#panes.flatMap(({ agent, head }) => (head ? [[agent, head.controls]] : [])));
  }

  /**
   * The whole answer as Markdown, or that of one agent. Rejects when a long one cannot be read from the log.
   * @param {import("./source.js").Reading} [reading]
   * @param {string | null} [agent]
   * @returns {Promise<string>}
   */
  async source(reading, agent = null) {
    const lanes = this.#panes.filter((pane) => agent === null || pane.agent === agent).map((pane) => pane.lane);
    /** @type {string[]} */
    const texts = [];
    for (const lane of lanes) texts.push(await lane.source(reading));
    if (lanes.length === 1) return texts[0] ?? "";
    return lanes.map((lane, i) => `## ${lane.agent}\n\n${texts[i]}`).join("\n\n");
  }

  /** @param {import("./records.js").Write} write */
  write(write) {
    const pane = this.#pane(write.agent);
    if (write.kind === "agent_start" && typeof write.part.parent === "string") this.#adopt(pane, write.part.parent);
    pane.write(write);
    this.#inOrder.write(write);
  }

  /**
   * @param {string} state of the stream
   * @param {Record<string, string>} [agents] of each agent where they differ, in their order
   */
  setStates(state, agents = {}) {
    // Who speaks within an agent ("voice/name") stands as it does.
    this.#stateOf = (agent) => of(agents, agent) ?? of(agents, agent.split("/")[0] ?? "") ?? state;
    for (const agent of Object.keys(agents)) this.#pane(agent);
    for (const pane of this.#panes) pane.state = this.#stateOf(pane.agent);
  }

  /** @param {(agent: string, state: string, empty: boolean) => Shown} present what the head of each agent says */
  show(present) {
    for (const { agent, head, state, windowing } of this.#panes) head?.controls.show(present(agent, state, windowing.points === 0));
  }

  /** Whether the kernel can be asked for text that is not on the page. @param {boolean} answers */
  set linked(answers) {
    this.#linked = answers;
    for (const { windowing } of this.#panes) {
      windowing.frozen = !answers;
      if (answers) windowing.schedule();
    }
  }

  /** A saved answer is read from its beginning; a live one is followed. @param {boolean} following */
  follow(following) {
    this.#following = following;
    for (const pane of this.#panes) pane.scroll.follow(following);
  }

  /** UTF-16 units that wait behind what was written. @param {number} units */
  set waiting(units) {
    // Of several agents it is not known whose they are.
    for (const { windowing } of this.#panes) windowing.waiting = this.#panes.length === 1 ? units : 0;
  }

  /**
   * @param {boolean} settled all that is recorded has been written: the last line of who is at rest is whole
   * @param {() => void} [around] what else changes with it
   */
  paint(settled, around = () => {}) {
    // Each box is measured before any changes, and put right behind all of them: the page is laid out once, not 20 times.
    let change = () => {
      for (const pane of this.#panes) pane.paint(settled);
      this.#inOrder.paint(settled && !this.#panes.some(({ state }) => isLive(state)));
      around();
    };
    for (const { scroll } of [...this.#panes, this.#inOrder]) {
      const inner = change;
      change = () => scroll.keep(inner);
    }
    change();
    for (const { windowing } of this.#panes) windowing.update();
    this.#foldAtRest();
  }

  clear() {
    // A button that goes with its pane must not leave the focus to the notebook.
    if (this.#beside.contains(document.activeElement)) this.#frame.focus({ preventScroll: true });
    this.#shown.abort();
    this.#shown = new AbortController();
    this.#panes = [];
    this.#beside.replaceChildren();
    this.#beside.classList.remove("nbstream-team");
    this.#setInOrder(false);
    this.#inOrder.clear();
    this.#inOrder.el.remove();
    this.orderToggle.hidden = true;
    this.#find?.close();
    this.#openFind.hidden = true;
    this.#following = true;
  }

  // --- panes ----------------------------------------------------------------------------------------------------------

  /** @param {string} agent */
  #pane(agent) {
    const known = this.#panes.find((pane) => pane.agent === agent);
    if (known) return known;
    const pane = new Pane(agent, {
      shared: this.#shared,
      total: () => this.chars,
      onWindowed: () => void this.#loadFind(),
      onAction: (action) => this.#onAction(action, agent),
      signal: this.#shown.signal,
    });
    pane.scroll.following = this.#following;
    pane.state = this.#stateOf(agent);
    this.#panes.push(pane);
    this.#beside.append(pane.el);
    if (this.#panes.length > 1) {
      for (const each of this.#panes) each.addHead();
      this.#beside.classList.add("nbstream-team");
      this.#beside.after(this.#inOrder.el);
      this.orderToggle.hidden = false;
    }
    return pane;
  }

  /**
   * A child stands behind its parent, and behind the children that came before it.
   * @param {Pane} pane
   * @param {string} parent
   */
  #adopt(pane, parent) {
    const elder = this.#panes.find(({ agent }) => agent === parent);
    if (!elder || pane.parent === parent || elder === pane) return;
    pane.parent = parent;
    if (pane.head) pane.head.parent = elder.lane.heading.textContent ?? parent;
    const others = this.#panes.filter((one) => one !== pane);
    let at = others.indexOf(elder) + 1;
    const family = new Set([parent]);
    while (family.has(others[at]?.parent ?? "")) family.add(/** @type {Pane} */ (others[at++]).agent);
    if (this.#panes[at] === pane) return;
    others[at - 1]?.el.after(pane.el);
    others.splice(at, 0, pane);
    this.#panes = others;
  }

  /** Who reads in the panes, or has the mouse there, sees nothing move. */
  #foldAtRest() {
    if (this.#panes.length <= MOST_UNFOLDED || this.#beside.matches(":hover")) return;
    for (const pane of this.#panes) pane.foldAtRest();
  }

  /** @param {boolean} shown */
  #setInOrder(shown) {
    if (shown === this.#inOrder.shown) return;
    this.#inOrder.shown = shown;
    this.#beside.hidden = shown;
    this.orderToggle.textContent = shown ? "Side by side" : "In order";
  }

  /** Find is code of its own, for long answers and whoever asks for it. */
  async #loadFind() {
    if (!this.#find && !this.#loadingFind && this.#parts) {
      this.#loadingFind = true;
      try {
        const { Find } = await this.#parts.load("find");
        this.#find = new Find({
          panes: () => this.#panes, reads: this.#shared.reads, onShow: () => this.#setInOrder(false), signal: this.#signal,
        });
        this.#frame.prepend(this.#find.el);
      } catch {
        // No button then: the kernel is gone, or the page lets no code run that comes later.
      }
      this.#loadingFind = false;
    }
    this.#openFind.hidden = !this.#find || !this.windowed;
  }

  // --- keys -----------------------------------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { target } = event;
    if (!(target instanceof Element) || !this.#frame.contains(target)) return;
    const command = event.ctrlKey || event.metaKey;
    const find = command && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "f";
    // On the target itself: a parent's mark comes too late, the notebook's shortcuts are for whatever has the focus.
    target.toggleAttribute(SUPPRESS, (!command && !event.altKey) || find);
    // Of a long way the browser makes a movement, through text that is not there yet.
    const box = this.#panes.find((pane) => pane.box === target);
    const goes = box && !command && !event.altKey && { Home: true, End: true }[event.key];
    // Where ours cannot come, or takes its time, the browser's own is there.
    const ours = find && (this.#find || (this.#linked && !this.#loadingFind));
    if (ours || goes) event.preventDefault();
    if (ours) void this.#loadFind().then(() => this.#frame.matches(":focus-within") && this.#find?.open());
    else if (goes && event.key === "Home") box.scroll.toStart();
    else if (goes) box.scroll.follow(true);
  }
}
