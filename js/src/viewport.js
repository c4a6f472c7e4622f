/**
 * The box the answer scrolls in. It follows the newest text only while the reader is at the end; the notebook around it
 * never moves.
 */

import { Lane } from "./lane.js";

/** So near to the end counts as being there: fractions of pixels and a half-scrolled line. */
const NEAR_PX = 24;

export class Viewport {
  #box = document.createElement("div");
  #content = document.createElement("div");
  #jump = document.createElement("button");
  /** @type {Map<string, Lane>} */
  #lanes = new Map();
  #following = true;
  #top = 0;

  /**
   * @param {HTMLElement} parent
   * @param {AbortSignal} signal
   */
  constructor(parent, signal) {
    this.#box.className = "nbstream-box";
    this.#content.className = "nbstream-content";
    this.#jump.className = "nbstream-jump";
    this.#jump.type = "button";
    this.#jump.textContent = "Jump to newest";
    this.#jump.hidden = true;
    this.#box.append(this.#content);
    const frame = document.createElement("div");
    frame.className = "nbstream-frame";
    frame.append(this.#box, this.#jump);
    parent.append(frame);

    this.#box.addEventListener("scroll", () => this.#scrolled(), { signal, passive: true });
    this.#jump.addEventListener("click", () => this.#jumpToNewest(), { signal });
    const sizes = new ResizeObserver(() => this.#resized());
    sizes.observe(this.#box);
    sizes.observe(this.#content);
    signal.addEventListener("abort", () => sizes.disconnect());
  }

  /** The whole answer as Markdown. @returns {Promise<string>} */
  async source() {
    const lanes = [...this.#lanes.values()];
    const texts = await Promise.all(lanes.map((lane) => lane.source()));
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

  paint() {
    for (const lane of this.#lanes.values()) lane.paint();
    this.follow();
  }

  end() {
    for (const lane of this.#lanes.values()) lane.end();
    this.paint();
  }

  clear() {
    this.#lanes.clear();
    this.#content.replaceChildren();
    this.#following = true;
  }

  follow() {
    if (this.#following) this.#box.scrollTop = this.#box.scrollHeight;
  }

  /** @param {string} agent */
  #lane(agent) {
    const known = this.#lanes.get(agent);
    if (known) return known;
    const lane = new Lane(agent);
    this.#lanes.set(agent, lane);
    this.#content.append(lane.el);
    const named = this.#lanes.size > 1 || agent !== "assistant";
    for (const each of this.#lanes.values()) each.named = named;
    return lane;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    // Growing text moves the end away but never scrolls up: only the reader does that.
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.#following = true;
    else if (scrollTop < this.#top) this.#following = false;
    this.#top = scrollTop;
    this.#jump.hidden = this.#following;
  }

  #jumpToNewest() {
    this.#following = true;
    this.#jump.hidden = true;
    this.follow();
    this.#box.focus({ preventScroll: true });
  }

  #resized() {
    const scrolls = this.#box.scrollHeight > this.#box.clientHeight + 1;
    // Only a box that scrolls is a stop for the keyboard and has something to resize.
    this.#box.classList.toggle("nbstream-scrolls", scrolls || this.#box.style.height !== "");
    if (scrolls) this.#box.tabIndex = 0;
    else this.#box.removeAttribute("tabindex");
    this.follow();
  }
}
