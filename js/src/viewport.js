/**
 * The box the answer scrolls in, with its lanes. It follows the newest text only while the reader is at the end; the
 * notebook around it never moves.
 */

import { Find } from "./find.js";
import { element } from "./group.js";
import { Lane } from "./lane.js";
import { Scroll } from "./scroll.js";
import { Windowing } from "./windowing.js";

/** Keys that scroll the box or that a notebook takes for commands (dd deletes a cell). */
const SUPPRESS = "data-lm-suppress-shortcuts";

export class Viewport {
  #frame = element("nbstream-frame");
  #box = element("nbstream-box");
  #content = element("nbstream-content");
  #jump;
  #openFind;
  /** @type {Map<string, Lane>} */
  #lanes = new Map();
  #shared;
  #scroll;
  #find;
  #width = 0;

  /**
   * @param {HTMLElement} parent
   * @param {AbortSignal} signal
   * @param {object} options
   * @param {import("./reads.js").Reads} options.reads
   * @param {import("./markdown/markdown.js").Parts} [options.parts]
   */
  constructor(parent, signal, { reads, parts }) {
    this.#box.append(this.#content);
    this.#jump = button("nbstream-jump", "Jump to newest");
    this.#openFind = button("nbstream-find-open", "Find");
    this.#frame.append(this.#box);
    this.#scroll = new Scroll(this.#box, this.#content, signal);
    const windowing = new Windowing(this.#box, {
      keep: (change) => this.#scroll.keep(change),
      restlessMs: () => this.#scroll.restlessMs,
      signal,
    });
    this.#find = new Find({ windowing, reads, scroll: this.#scroll, signal });
    this.#frame.prepend(this.#find.el, this.#openFind);
    this.#frame.append(this.#jump);
    parent.append(this.#frame);
    this.#shared = { windowing, reads, ...(parts && { parts }) };

    windowing.onWindowed = () => {
      this.#openFind.hidden = false;
    };
    this.#scroll.onMoved = () => {
      this.#showJump();
      windowing.schedule();
    };
    this.#jump.addEventListener("click", () => this.#jumpToNewest(), { signal });
    this.#openFind.addEventListener("click", () => this.#find.open(), { signal });
    const sizes = new ResizeObserver(() => this.#resized());
    sizes.observe(this.#box);
    sizes.observe(this.#content);
    signal.addEventListener("abort", () => sizes.disconnect());
    // In front of JupyterLab's own listener at the document: our keys are not its shortcuts, Ctrl+S still is.
    addEventListener("keydown", (event) => this.#key(event), { capture: true, signal });
  }

  /** Code points shown. */
  get chars() {
    return this.#shared.windowing.points;
  }

  /** Whether only a part of the answer is on the page. */
  get windowed() {
    return this.#shared.windowing.windowed;
  }

  /**
   * The whole answer as Markdown. Rejects when a long one cannot be read from the log.
   * @param {import("./source.js").Reading} [reading]
   * @returns {Promise<string>}
   */
  async source(reading) {
    const lanes = [...this.#lanes.values()];
    const texts = await Promise.all(lanes.map((lane) => lane.source(reading)));
    if (lanes.length === 1) return texts[0] ?? "";
    return lanes.map((lane, i) => `## ${lane.agent}\n\n${texts[i]}`).join("\n\n");
  }

  /** @param {import("./records.js").Write} write */
  write(write) {
    this.#lane(write.agent).write(write);
  }

  /**
   * @param {string} state of the stream
   * @param {Record<string, string>} [agents] of each agent where they differ, in order of appearance
   */
  setStates(state, agents = {}) {
    for (const agent of Object.keys(agents)) this.#lane(agent);
    for (const [agent, lane] of this.#lanes) lane.el.dataset.state = agents[agent] ?? state;
  }

  /** Whether the kernel can be asked for text that is not on the page. @param {boolean} answers */
  set linked(answers) {
    this.#shared.windowing.frozen = !answers;
    if (answers) this.#shared.windowing.schedule();
  }

  /** A saved answer is read from its beginning; a live one is followed. @param {boolean} following */
  follow(following) {
    this.#scroll.follow(following);
  }

  paint() {
    this.#scroll.keep(() => {
      for (const lane of this.#lanes.values()) lane.paint();
    });
    this.#shared.windowing.update();
  }

  end() {
    for (const lane of this.#lanes.values()) lane.end();
    this.paint();
  }

  clear() {
    this.#lanes.clear();
    this.#content.replaceChildren();
    this.#shared.windowing.clear();
    this.#find.close();
    this.#openFind.hidden = true;
    this.#scroll.reset();
  }

  /** @param {string} agent */
  #lane(agent) {
    const known = this.#lanes.get(agent);
    if (known) return known;
    const lane = new Lane(agent, this.#shared);
    this.#lanes.set(agent, lane);
    this.#content.append(lane.el);
    const named = this.#lanes.size > 1 || agent !== "assistant";
    for (const each of this.#lanes.values()) each.named = named;
    return lane;
  }

  #jumpToNewest() {
    this.#scroll.follow(true);
    this.#box.focus({ preventScroll: true });
  }

  #showJump() {
    this.#jump.hidden = this.#scroll.following || !this.#scrolls;
  }

  get #scrolls() {
    return this.#box.scrollHeight > this.#box.clientHeight + 1;
  }

  #resized() {
    if (this.#scroll.hidden) return this.#scroll.restore();
    // Only a box that scrolls is a stop for the keyboard and has something to resize.
    this.#box.classList.toggle("nbstream-scrolls", this.#scrolls || this.#box.style.height !== "");
    if (this.#scrolls) this.#box.tabIndex = 0;
    else this.#box.removeAttribute("tabindex");
    const { clientWidth } = this.#box;
    const factor = this.#width / clientWidth || 1;
    this.#width = clientWidth;
    this.#scroll.keep(() => {
      if (factor !== 1) this.#shared.windowing.rescale(factor);
    });
    this.#showJump();
    this.#shared.windowing.schedule();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { target } = event;
    if (!(target instanceof Element) || !this.#frame.contains(target)) return;
    const command = event.ctrlKey || event.metaKey;
    const find = command && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "f";
    // On the target itself: a parent's mark comes too late, the notebook's shortcuts are for whatever has the focus.
    target.toggleAttribute(SUPPRESS, (!command && !event.altKey) || find);
    // Of a long way the browser makes a movement, through text that is not there yet.
    const goes = target === this.#box && !command && !event.altKey && { Home: true, End: true }[event.key];
    if (find || goes) event.preventDefault();
    if (find) this.#find.open();
    else if (goes && event.key === "Home") this.#scroll.toStart();
    else if (goes) this.#scroll.follow(true);
  }
}

/**
 * @param {string} className
 * @param {string} name
 */
function button(className, name) {
  const el = document.createElement("button");
  el.className = className;
  el.type = "button";
  el.textContent = name;
  el.hidden = true;
  return el;
}
