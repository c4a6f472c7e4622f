/**
 * Find in this answer: a bar above the text. A short message is searched in memory, with a count; a long one in the log,
 * from match to match, because most of it is not on the page (where the browser's own search would look).
 */

import { button, element } from "./elements.js";
import { codePoints, indexBehind } from "./records.js";

/** @typedef {import("./reads.js").Place} Place */
/** @typedef {import("./body.js").Body} Body */
/** @typedef {{body: Body, at: number}} Match `at` counts the body's code points */

const LONGEST_QUERY = 500;
/** Marks beside the one that was found; more would only cost. */
const MOST_MARKS = 500;
/** One name for all views of the page: a highlight is a set of ranges. */
const MARKS = "nbstream-marks";
const FOUND = "nbstream-found";

/**
 * What finds a query in Markdown: letter case, kinds of space and marks of emphasis between words do not count. The
 * kernel's src/nbstream/view/ranges.py has the same rule.
 * @param {string} query
 * @returns {RegExp | null} null when there is nothing to look for
 */
export function pattern(query) {
  const words = query.slice(0, LONGEST_QUERY).split(/\s+/).filter(Boolean);
  if (words.length === 0) return null;
  return new RegExp(words.map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("[*_~`]*\\s+[*_~`]*"), "giu");
}

/**
 * Code points before each match.
 * @param {string} text
 * @param {RegExp} wanted
 * @returns {number[]}
 */
export function matchesIn(text, wanted) {
  const found = [];
  let units = 0;
  let points = 0;
  for (const { index } of text.matchAll(wanted)) {
    points += codePoints(text.slice(units, index));
    units = index;
    found.push(points);
  }
  return found;
}

export class Find {
  el = element("nbstream-find");
  #input = document.createElement("input");
  #told = element("nbstream-found-count", "span");
  #panes;
  #reads;
  #onShow;
  /** @type {Match | null} */
  #at = null;
  #query = "";
  /** Of the newest step: what an older one, or one of a bar that was closed, comes to is for nothing. */
  #epoch = 0;
  /** @type {Range[]} */
  #ranges = [];
  /** @type {Element | null} */
  #outlined = null;
  /** @type {Element | null} */
  #foundIn = null;
  /** @type {HTMLElement | null} had the focus before */
  #before = null;

  /**
   * @param {object} options
   * @param {() => import("./pane.js").Pane[]} options.panes what is searched, in the order of the page
   * @param {import("./reads.js").Reads} options.reads
   * @param {() => void} options.onShow before a match is shown
   * @param {AbortSignal} options.signal
   */
  constructor({ panes, reads, onShow, signal }) {
    this.#panes = panes;
    this.#reads = reads;
    this.#onShow = onShow;
    this.el.hidden = true;
    this.el.setAttribute("role", "search");
    this.#input.type = "search";
    this.#input.setAttribute("aria-label", "Find in this answer");
    this.#told.setAttribute("aria-live", "polite");
    this.el.append(this.#input, this.#told);
    for (const [name, run] of /** @type {[string, () => void][]} */ ([
      ["Previous", () => void this.step(true)],
      ["Next", () => void this.step(false)],
      ["Close", () => this.close()],
    ])) {
      const el = button(name);
      el.addEventListener("click", run, { signal });
      this.el.append(el);
    }
    this.#input.addEventListener("keydown", (event) => event.key === "Enter" && void this.step(event.shiftKey), { signal });
    this.el.addEventListener("keydown", (event) => event.key === "Escape" && this.close(), { signal });
    signal.addEventListener("abort", () => this.#unmark());
  }

  open() {
    if (this.el.hidden) this.#before = /** @type {HTMLElement | null} */ (document.activeElement);
    this.el.hidden = false;
    this.#input.focus({ preventScroll: true });
    this.#input.select();
  }

  close() {
    if (this.el.hidden) return;
    this.el.hidden = true;
    this.reset();
    if (this.#before?.isConnected) this.#before.focus({ preventScroll: true });
    this.#before = null;
  }

  /** Another answer is shown. */
  reset() {
    this.#epoch++;
    this.#at = null;
    this.#query = "";
    this.#tell("");
    this.#unmark();
  }

  /**
   * Go to the next match, or the one before.
   * @param {boolean} back
   */
  async step(back) {
    const query = this.#input.value;
    const wanted = pattern(query);
    if (!wanted) return this.reset();
    if (query !== this.#query) this.#at = null;
    this.#query = query;
    const epoch = ++this.#epoch;
    try {
      const [match, told] = this.#panes().some((pane) => pane.windowing.windowed) ? await this.#inLog(query, back) : this.#inMemory(wanted, back);
      if (this.#epoch !== epoch) return;
      this.#unmark();
      this.#tell(told);
      if (!match) return;
      this.#at = match;
      await this.#show(match, wanted, epoch);
    } catch (why) {
      if (this.#epoch === epoch) this.#tell(/** @type {Error} */ (why).message);
    }
  }

  /**
   * @param {RegExp} wanted
   * @param {boolean} back
   * @returns {[Match | null, string]}
   */
  #inMemory(wanted, back) {
    const order = this.#bodies;
    const matches = order.flatMap((body) => matchesIn(body.text.now(0, body.length), wanted).map((at) => ({ body, at })));
    if (matches.length === 0) return [null, "not found"];
    const here = this.#at ?? this.#here();
    const compare = (/** @type {Match} */ a, /** @type {Match} */ b) => order.indexOf(a.body) - order.indexOf(b.body) || a.at - b.at;
    let index;
    if (!here) index = back ? matches.length - 1 : 0;
    else if (back) index = matches.findLastIndex((match) => compare(match, here) < 0);
    else index = matches.findIndex((match) => compare(match, here) > (this.#at ? 0 : -1));
    if (index < 0) index = back ? matches.length - 1 : 0;
    return [/** @type {Match} */ (matches[index]), `${index + 1} of ${matches.length}`];
  }

  /**
   * @param {string} query
   * @param {boolean} back
   * @returns {Promise<[Match | null, string]>}
   */
  async #inLog(query, back) {
    this.#tell("searching ...");
    const here = this.#at ?? this.#here();
    const start = here && { agent: here.body.agent, kind: here.body.kind, at: here.body.from + here.at + (back || !this.#at ? 0 : 1) };
    const place = await this.#reads.find(query, start, back);
    const match = place && this.#on(place);
    if (match) return [match, ""];
    if (start === null) return [null, "not found"];
    const wrapped = await this.#reads.find(query, null, back);
    const around = wrapped && this.#on(wrapped);
    return around ? [around, back ? "from the end" : "from the beginning"] : [null, "not found"];
  }

  get #bodies() {
    return this.#panes().flatMap((pane) => pane.windowing.bodies);
  }

  /** Where a search begins: at what the reader sees, of several agents in the one he was in. @returns {Match | null} */
  #here() {
    const panes = this.#panes();
    const pane = panes.find(({ el }) => el.contains(this.#before)) ?? panes[0];
    const el = pane?.scroll.topmost;
    const body = el && this.#bodies.find((one) => one.el.contains(el));
    const groupEl = el?.closest(".nbstream-group");
    if (!body || !groupEl) return null;
    for (const group of body.paper.groups()) {
      if (group.el !== groupEl) continue;
      const index = group.pieces?.findIndex((piece) => piece.el.contains(el)) ?? 0;
      const before = group.lengths.slice(0, Math.max(0, index));
      return { body, at: before.reduce((sum, length) => sum + length, group.from) };
    }
    return { body, at: body.paper.points };
  }

  /**
   * @param {Place} place
   * @returns {Match | null} null when the page does not hold it yet
   */
  #on({ agent, kind, at }) {
    const body = this.#bodies.find(
      (one) => one.agent === agent && one.kind === kind && at >= one.from && at < one.from + one.length,
    );
    return body ? { body, at: at - body.from } : null;
  }

  /**
   * @param {Match} match
   * @param {RegExp} wanted
   * @param {number} epoch
   */
  async #show({ body, at }, wanted, epoch) {
    const pane = this.#panes().find(({ el }) => el.contains(body.el));
    if (!pane) return;
    this.#onShow();
    pane.reveal();
    const details = body.el.closest("details");
    if (details) details.open = true;
    const group = await pane.windowing.bring(body, at);
    if (this.#epoch !== epoch) return;
    let el = /** @type {Element} */ (body.paper.tail);
    let before = "";
    if (group?.pieces) {
      const { index, start } = group.holding(at);
      const piece = group.pieces[index];
      if (piece) {
        el = piece.el;
        before = piece.source.slice(0, indexBehind(piece.source, at - start));
      }
      this.#mark(group.el, wanted, MARKS);
    } else if (body.text.kept) before = body.text.now(body.paper.points, at);
    // As many matches are before it in what is shown as in its source, unless markup cuts one: then the whole piece is meant.
    const ranges = rangesIn(el, wanted);
    const range = ranges[matchesIn(before, wanted).length] ?? ranges.at(-1);
    if (range) this.#highlight(FOUND, [range]);
    this.#foundIn = group?.el ?? body.paper.tail;
    this.#foundIn.classList.add("nbstream-found-in");
    if (!range || !("highlights" in CSS)) {
      this.#outlined = el;
      el.classList.add("nbstream-found-here");
    }
    pane.scroll.show(range ?? el);
    if (this.#panes().length > 1) pane.el.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {Element} el
   * @param {RegExp} wanted
   * @param {string} name
   */
  #mark(el, wanted, name) {
    this.#highlight(name, rangesIn(el, wanted).slice(0, MOST_MARKS));
  }

  /**
   * @param {string} name
   * @param {Range[]} ranges
   */
  #highlight(name, ranges) {
    if (!("highlights" in CSS)) return;
    const highlight = CSS.highlights.get(name) ?? new Highlight();
    CSS.highlights.set(name, highlight);
    for (const range of ranges) highlight.add(range);
    this.#ranges.push(...ranges);
  }

  #unmark() {
    this.#outlined?.classList.remove("nbstream-found-here");
    this.#outlined = null;
    this.#foundIn?.classList.remove("nbstream-found-in");
    this.#foundIn = null;
    if (!("highlights" in CSS)) return;
    for (const range of this.#ranges) for (const name of [MARKS, FOUND]) CSS.highlights.get(name)?.delete(range);
    this.#ranges = [];
  }

  /** @param {string} text */
  #tell(text) {
    this.#told.textContent = text;
  }
}

/**
 * The matches in what an element shows.
 * @param {Element} el
 * @param {RegExp} wanted
 * @returns {Range[]}
 */
function rangesIn(el, wanted) {
  const walker = document.createTreeWalker(el, NodeFilter.SHOW_TEXT);
  /** @type {{node: Text, start: number}[]} */
  const nodes = [];
  let text = "";
  while (walker.nextNode()) {
    const node = /** @type {Text} */ (walker.currentNode);
    nodes.push({ node, start: text.length });
    text += node.data;
  }
  let i = 0;
  /** @param {number} at */
  const place = (at) => {
    while (i + 1 < nodes.length && /** @type {{start: number}} */ (nodes[i + 1]).start <= at) i++;
    return /** @type {{node: Text, start: number}} */ (nodes[i]);
  };
  return [...text.matchAll(wanted)].map((match) => {
    const range = document.createRange();
    const first = place(match.index);
    range.setStart(first.node, match.index - first.start);
    const end = match.index + match[0].length;
    const last = place(end - 1);
    range.setEnd(last.node, end - last.start);
    return range;
  });
}
