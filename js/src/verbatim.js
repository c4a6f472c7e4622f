/**
 * Text as it came, in the letters of code: arguments and results of tools. Only its beginning is on the page until
 * somebody asks for more, so a result of megabytes costs as much as one of 64 KB.
 */

import { pretty, PRETTY_UNITS } from "./json.js";
import { cutWhole } from "./records.js";

const SHOWN_UNITS = 65_536;
const MORE_UNITS = 1_048_576;
/** A text box that grows is laid out whole each time: full at the first line end behind this, cut at twice as much. */
const BOX_UNITS = 4_096;

/** What is higher than its box can be scrolled by the keyboard too; less is no stop for it. */
const LOW_LINES = 18;
const LOW_UNITS = 1_500;

export class Verbatim {
  el = document.createElement("div");
  #box = document.createElement("div");
  #pre = document.createElement("pre");
  #lines = 0;
  #units = 0;
  #more = document.createElement("button");
  /** All of it while it is short enough to be indented. @type {string | null} */
  #short = "";
  #indented = false;
  #ended = true;
  /** @type {string[]} to be painted */
  #waiting = [];
  /** @type {string[]} beyond what is shown */
  #rest = [];
  #restUnits = 0;
  #room = SHOWN_UNITS;

  /** @param {string} title what it is */
  constructor(title) {
    const label = document.createElement("div");
    label.className = "nbstream-label";
    label.textContent = title;
    this.el.className = "nbstream-verbatim";
    this.#box.className = "nbstream-verbatim-box";
    this.#box.setAttribute("role", "group");
    this.#box.setAttribute("aria-label", title);
    this.#box.append(this.#pre);
    this.#more.type = "button";
    this.#more.className = "nbstream-more";
    this.#more.hidden = true;
    this.#more.addEventListener("click", () => this.#showMore()); // goes with its element, which nothing else holds
    this.el.append(label, this.#box, this.#more);
  }

  /** @param {string} text */
  write(text) {
    this.#ended = false;
    // It was not over: as it came, until it is whole again.
    if (this.#indented) this.#replace(this.#short ?? "");
    this.#indented = false;
    if (this.#short !== null) this.#short = this.#short.length + text.length > PRETTY_UNITS ? null : this.#short + text;
    this.#add(text);
  }

  /** The text is whole: JSON can be indented now. */
  end() {
    if (this.#ended) return;
    this.#ended = true;
    const indented = pretty(this.#short ?? "");
    if (indented === null) return;
    this.#indented = true;
    this.#replace(indented);
  }

  paint() {
    if (this.#waiting.length > 0) {
      const text = this.#waiting.join("");
      this.#waiting = [];
      for (let at = 0; at < text.length; ) at += grow(this.#pre, text, at);
      this.#units += text.length;
      if (this.#lines <= LOW_LINES) this.#lines += text.split("\n", LOW_LINES + 2).length - 1;
      if (this.#lines > LOW_LINES || this.#units > LOW_UNITS) this.#box.tabIndex = 0;
    }
    this.#more.hidden = this.#restUnits === 0;
    if (this.#restUnits > 0) {
      const all = this.#restUnits <= MORE_UNITS;
      this.#more.textContent = all ? `Show all (${size(this.#restUnits)} more)` : `Show 1 MB more of ${size(this.#restUnits)}`;
    }
  }

  /** @param {string} text */
  #add(text) {
    const [now, rest] = this.#room > 1 ? cutWhole(text, this.#room) : ["", text];
    this.#room = rest ? 0 : this.#room - now.length;
    if (now) this.#waiting.push(now);
    if (!rest) return;
    this.#rest.push(rest);
    this.#restUnits += rest.length;
  }

  /** @param {string} text */
  #replace(text) {
    this.#pre.replaceChildren();
    this.#box.replaceChildren(this.#pre);
    this.#lines = this.#units = 0;
    this.#box.removeAttribute("tabindex");
    this.#waiting = [];
    this.#rest = [];
    this.#restUnits = 0;
    this.#room = SHOWN_UNITS;
    this.#add(text);
  }

  #showMore() {
    const text = this.#rest.join("");
    this.#rest = [];
    this.#restUnits = 0;
    this.#room = MORE_UNITS;
    // Each step is an element of its own: at most some hundred boxes are laid out together.
    const pre = document.createElement("pre");
    this.#pre.after(pre);
    this.#pre = pre;
    this.#add(text);
    this.paint();
    if (this.#more.hidden) this.#box.focus({ preventScroll: true });
  }
}

/**
 * Put text from `at` on into the last box, or a new one behind a full box. Returns how much it took.
 * @param {HTMLElement} pre
 * @param {string} text
 * @param {number} at
 */
function grow(pre, text, at) {
  const last = pre.lastElementChild;
  let node = /** @type {globalThis.Text | null | undefined} */ (last?.firstChild);
  if (!node || node.length >= 2 * BOX_UNITS - 1 || (node.length >= BOX_UNITS && node.data.endsWith("\n"))) {
    const box = pre.appendChild(document.createElement("span"));
    box.className = "nbstream-codebox";
    node = box.appendChild(document.createTextNode(""));
  }
  const full = text.indexOf("\n", at + Math.max(0, BOX_UNITS - node.length)) + 1;
  const most = Math.max(2, 2 * BOX_UNITS - node.length);
  const units = full > 0 ? Math.min(full - at, most) : most;
  const [now] = cutWhole(text.slice(at, at + units + 1), units);
  node.appendData(now);
  return now.length;
}

/** @param {number} units */
function size(units) {
  return units < 1_048_576 ? `${Math.ceil(units / 1024).toLocaleString("en-US")} KB` : `${(units / 1_048_576).toFixed(1)} MB`;
}
