/**
 * What happened to a stream, below its answer: the timeline as the kernel draws it, and the wire as a table. The picture
 * is shown as an image, in which nothing can run; all text of others enters as text nodes.
 */

import { button, element } from "./elements.js";

/** While more may come it is drawn anew so often, or seldom enough that it takes a tenth of the kernel's time. */
const AGAIN_MS = 2_000;
const SHARE = 10;
/** A row of the wire without a number happened between two records. */
const NUMBER = 0;

export class Drawings {
  el = element("nbstream-pictures", "section");
  #shown = element("nbstream-picture");
  #told = element("nbstream-pictures-told", "span");
  #reads;
  #live;
  #what = "timeline";
  /** Of the newest question. */
  #epoch = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {object} options
   * @param {import("./reads.js").Reads} options.reads
   * @param {() => boolean} options.live whether more may come
   * @param {AbortSignal} options.signal
   */
  constructor({ reads, live, signal }) {
    this.#reads = reads;
    this.#live = live;
    this.el.setAttribute("aria-label", "What happened");
    this.#told.setAttribute("aria-live", "polite");
    const bar = element("nbstream-pictures-bar");
    const tabs = /** @type {[string, string][]} */ ([["timeline", "Over time"], ["wire", "On the wire"]]).map(([what, name]) => {
      const tab = button(name);
      const press = () => {
        this.#what = what;
        for (const one of tabs) one.setAttribute("aria-pressed", String(one === tab));
        void this.#draw();
      };
      tab.setAttribute("aria-pressed", String(what === this.#what));
      tab.addEventListener("click", press, { signal });
      return tab;
    });
    bar.append(...tabs, this.#told);
    this.el.append(bar, this.#shown);
    signal.addEventListener("abort", () => this.#end());
  }

  /**
   * It is opened, or something else may be true by now.
   * @param {boolean} open somebody sees it
   */
  draw(open) {
    if (open) void this.#draw();
    else this.#end();
  }

  #end() {
    this.#epoch++;
    clearTimeout(this.#timer);
  }

  async #draw() {
    this.#end();
    const epoch = this.#epoch;
    const what = this.#what;
    const live = this.#live();
    const began = performance.now();
    try {
      const answer = await this.#reads.picture(what);
      if (epoch !== this.#epoch) return;
      if (answer.reason) throw new Error(answer.reason);
      this.#told.textContent = "";
      if (what === "wire") this.#showWire(answer);
      else this.#showTimeline(answer);
    } catch (why) {
      if (epoch !== this.#epoch) return;
      this.#told.textContent = /** @type {Error} */ (why).message;
    }
    // Once more behind the end: what was drawn while it was live lacks how it ended.
    if (live) this.#timer = setTimeout(() => void this.#draw(), Math.max(AGAIN_MS, SHARE * (performance.now() - began)));
  }

  /** @param {{svg: string, text: string}} answer */
  #showTimeline({ svg, text }) {
    const open = this.#shown.querySelector("details")?.open ?? false;
    const image = document.createElement("img");
    image.alt = "Timeline; the same in words below";
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    const words = document.createElement("details");
    const pre = document.createElement("pre");
    pre.textContent = text;
    words.open = open;
    words.append(Object.assign(document.createElement("summary"), { textContent: "The same in words" }), pre);
    this.#shown.replaceChildren(image, words);
  }

  /** @param {{head: string[], first: string[][], more: string, last: string[][], summary: string}} answer */
  #showWire({ head, first, more, last, summary }) {
    const before = this.#shown.querySelector(".nbstream-wire")?.scrollTop ?? 0;
    const table = document.createElement("table");
    const put = (/** @type {string[]} */ cells, tag = "td") => {
      const row = table.insertRow();
      for (const text of cells) row.append(Object.assign(document.createElement(tag), { textContent: text }));
      if (!cells[NUMBER]) row.className = "nbstream-between";
    };
    put(head, "th");
    for (const row of first) put(row);
    if (more) put(["", "", "", `… ${more} …`, ""]);
    for (const row of last) put(row);
    const box = element("nbstream-wire");
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "The wire as it was recorded");
    box.append(table);
    this.#shown.replaceChildren(Object.assign(document.createElement("div"), { textContent: summary }), box);
    box.scrollTop = before;
  }
}
