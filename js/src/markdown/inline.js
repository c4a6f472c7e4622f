/**
 * Inline Markdown to a plain tree: code, emphasis, strikethrough, links, hard breaks.
 *
 * HTML stays literal text, images become links to the image, and a link whose scheme is not allowed stays the text that
 * was written. Every scan is bounded or remembered, so that the cost stays linear in hostile input too.
 */

import { pair } from "./emphasis.js";

/**
 * @typedef {{type: "text", text: string}} Text
 * @typedef {{type: "code", text: string}} Code
 * @typedef {{type: "break"}} Break
 * @typedef {{type: "strong" | "em" | "del", children: Inline[]}} Styled
 * @typedef {{type: "link", href: string, image: boolean, children: Inline[]}} Link
 * @typedef {Text | Code | Break | Styled | Link} Inline
 */
/** @typedef {import("./emphasis.js").Run} Run */

const SCHEME = /^(?:https?:\/\/|mailto:)/i;
/** Longer destinations and titles are data, not addresses; the bound also keeps failed links cheap. */
const MOST_DESTINATION = 2_048;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const SPACE = /\s/u;
const WORD = /[\p{L}\p{N}]/u;
const HOST = /^https?:\/\/[\p{L}\p{N}]/iu;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const BARE_URL = /https?:\/\/[^\s<[\]]+/iy;
const ANGLE_URL = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2048})>/iy;
/** More brackets inside a destination are no address. */
const MOST_BRACKETS = 32;

/**
 * The address to use, or null when it must not become a link.
 * @param {string} written
 * @returns {string | null}
 */
export function safeHref(written) {
  const address = written.trim();
  if (address.length > MOST_DESTINATION || !SCHEME.test(address)) return null;
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null; // not an address at all: it stays text
  }
}

/**
 * @param {string} source
 * @returns {Inline[]}
 */
export function parseInline(source) {
  return new InlineParser(source).parse();
}

class InlineParser {
  /** @type {(Inline | Run)[]} the flat sequence; runs are replaced when their partner is found */
  #out = [];
  /** @type {{at: number, image: boolean, from: number}[]} open brackets: index in #out, index in the source */
  #brackets = [];
  /** @type {Map<number, number>} length of a backtick run -> its last position in the source */
  #lastTicks = new Map();
  #text = "";
  #pos = 0;

  /** @param {string} source */
  constructor(source) {
    this.source = source;
    for (const match of source.matchAll(/`+/g)) this.#lastTicks.set(match[0].length, match.index);
  }

  /** @returns {Inline[]} */
  parse() {
    const plain = /[^\\`*_~[\]!<\nhH]+/y;
    while (this.#pos < this.source.length) {
      plain.lastIndex = this.#pos;
      const match = plain.exec(this.source);
      if (match) {
        this.#text += match[0];
        this.#pos = plain.lastIndex;
        continue;
      }
      this.#special(/** @type {string} */ (this.source[this.#pos]));
    }
    this.#flush();
    return pair(this.#out);
  }

  /** @param {string} char */
  #special(char) {
    switch (char) {
      case "\\":
        return this.#escape();
      case "`":
        return this.#code();
      case "*":
      case "_":
      case "~":
        return this.#run(char);
      case "[":
        return this.#openBracket(false);
      case "!":
        return this.source[this.#pos + 1] === "[" ? this.#openBracket(true) : this.#literal(1);
      case "]":
        return this.#closeBracket();
      case "<":
        return this.#angle();
      case "\n":
        return this.#newline();
      default:
        return this.#bareUrl();
    }
  }

  /** @param {number} length */
  #literal(length) {
    this.#text += this.source.slice(this.#pos, this.#pos + length);
    this.#pos += length;
  }

  #flush() {
    if (this.#text) this.#out.push({ type: "text", text: this.#text });
    this.#text = "";
  }

  /** @param {Inline | Run} node */
  #push(node) {
    this.#flush();
    this.#out.push(node);
  }

  #escape() {
    const next = this.source[this.#pos + 1] ?? "";
    if (next === "\n") {
      this.#push({ type: "break" });
      this.#pos += 2;
    } else if (next && ESCAPABLE.test(next)) {
      this.#text += next;
      this.#pos += 2;
    } else this.#literal(1);
  }

  #newline() {
    const hard = this.#text.endsWith("  ");
    let end = this.#text.length;
    while (this.#text[end - 1] === " ") end--;
    this.#text = this.#text.slice(0, end);
    if (hard) this.#push({ type: "break" });
    else this.#text += "\n";
    this.#pos++;
    while (this.source[this.#pos] === " ") this.#pos++;
  }

  #code() {
    const length = runLength(this.source, this.#pos, "`");
    const start = this.#pos + length;
    if ((this.#lastTicks.get(length) ?? -1) >= start) {
      for (let at = this.source.indexOf("`", start); at >= 0; ) {
        const closing = runLength(this.source, at, "`");
        if (closing === length) {
          let text = this.source.slice(start, at).replaceAll("\n", " ");
          if (text.startsWith(" ") && text.endsWith(" ") && text.trim()) text = text.slice(1, -1);
          this.#push({ type: "code", text });
          this.#pos = at + length;
          return;
        }
        at = this.source.indexOf("`", at + closing);
      }
    }
    this.#literal(length);
  }

  /** @param {string} char */
  #run(char) {
    const length = runLength(this.source, this.#pos, char);
    const before = characterBefore(this.source, this.#pos);
    const after = characterAt(this.source, this.#pos + length);
    const left = !SPACE.test(after) && (!PUNCTUATION.test(after) || SPACE.test(before) || PUNCTUATION.test(before));
    const right = !SPACE.test(before) && (!PUNCTUATION.test(before) || SPACE.test(after) || PUNCTUATION.test(after));
    let opens = left;
    let closes = right;
    if (char === "_") {
      opens = left && (!right || PUNCTUATION.test(before)); // snake_case stays one word
      closes = right && (!left || PUNCTUATION.test(after));
    } else if (char === "~" && length !== 2) opens = closes = false; // one tilde means "about"
    if (opens || closes) {
      this.#push({ at: this.#pos, char, length, run: length, opens, closes });
      this.#pos += length;
    } else this.#literal(length);
  }

  /** @param {boolean} image */
  #openBracket(image) {
    this.#flush();
    this.#brackets.push({ at: this.#out.length, image, from: this.#pos });
    this.#out.push({ type: "text", text: image ? "![" : "[" });
    this.#pos += image ? 2 : 1;
  }

  #closeBracket() {
    const open = this.#brackets.pop();
    if (!open) return this.#literal(1);
    const destination = this.source[this.#pos + 1] === "(" ? readDestination(this.source, this.#pos + 2) : null;
    const href = destination && safeHref(destination.written);
    if (!destination || !href) return this.#literal(1);
    this.#flush();
    const inside = pair(this.#out.splice(open.at).slice(1));
    const children = open.image || inside.some(hasLink) ? plainChildren(inside) : inside;
    if (children.length === 0) children.push({ type: "text", text: href });
    this.#out.push({ type: "link", href, image: open.image, children });
    if (!open.image) this.#brackets = []; // a link holds no link, so no bracket around this one becomes one
    this.#pos = destination.end;
  }

  #angle() {
    ANGLE_URL.lastIndex = this.#pos;
    const match = ANGLE_URL.exec(this.source);
    const href = match && safeHref(match[1] ?? "");
    if (!match || !href) return this.#literal(1);
    this.#push({ type: "link", href, image: false, children: [{ type: "text", text: match[1] ?? "" }] });
    this.#pos = ANGLE_URL.lastIndex;
  }

  #bareUrl() {
    BARE_URL.lastIndex = this.#pos;
    const match = BARE_URL.exec(this.source);
    const written = match && !WORD.test(characterBefore(this.source, this.#pos)) ? trimUrl(match[0]) : "";
    const href = HOST.test(written) ? safeHref(written) : null;
    if (!href) return this.#literal(1);
    this.#push({ type: "link", href, image: false, children: [{ type: "text", text: written }] });
    this.#pos += written.length;
  }
}

/**
 * A link's `(destination "title")`, read from behind the bracket; null when it is not one.
 * @param {string} source
 * @param {number} at
 * @returns {{written: string, end: number} | null}
 */
function readDestination(source, at) {
  const limit = Math.min(source.length, at + 2 * MOST_DESTINATION);
  const skipSpace = () => {
    while (at < limit && SPACE.test(source[at] ?? "")) at++;
  };
  skipSpace();
  let written = "";
  if (source[at] === "<") {
    for (at++; at < limit && !"<>\n".includes(source[at] ?? ""); at++) written += source[at];
    if (source[at] !== ">") return null;
    at++;
  } else {
    let depth = 0;
    for (; at < limit; at++) {
      const char = /** @type {string} */ (source[at]);
      if (SPACE.test(char) || (char === ")" && depth === 0)) break;
      if (char === "\\" && ESCAPABLE.test(source[at + 1] ?? "")) at++;
      else if (char === "(" && ++depth > MOST_BRACKETS) return null;
      else if (char === ")") depth--;
      written += source[at];
    }
    if (depth !== 0) return null;
  }
  skipSpace();
  const quote = { '"': '"', "'": "'", "(": ")" }[source[at] ?? ""];
  if (quote) {
    for (at++; at < limit && source[at] !== quote; at++) if (source[at] === "\\") at++;
    at++;
    skipSpace();
  }
  return written && at < limit && source[at] === ")" ? { written, end: at + 1 } : null;
}

/**
 * @param {Inline} node
 * @returns {boolean}
 */
const hasLink = (node) => node.type === "link" || ("children" in node && node.children.some(hasLink));

/**
 * @param {Inline[]} nodes
 * @returns {Inline[]}
 */
function plainChildren(nodes) {
  const text = nodes.map(plainText).join("");
  return text ? [{ type: "text", text }] : [];
}

/**
 * @param {Inline} node
 * @returns {string}
 */
function plainText(node) {
  if (node.type === "break") return " ";
  return "children" in node ? node.children.map(plainText).join("") : node.text;
}

/**
 * A sentence's punctuation behind an address is not part of it, nor is a bracket that opened before it.
 * @param {string} url
 */
function trimUrl(url) {
  let end = url.length;
  let surplus = (url.match(/\)/g)?.length ?? 0) - (url.match(/\(/g)?.length ?? 0);
  for (; end > 0; end--) {
    const last = url[end - 1] ?? "";
    if (last === ")" && surplus > 0) surplus--;
    else if (!"?!.,:;*_~'\"`]}|\\".includes(last)) break;
  }
  return url.slice(0, end);
}

/**
 * @param {string} source
 * @param {number} at
 * @param {string} char
 */
function runLength(source, at, char) {
  let end = at;
  while (source[end] === char) end++;
  return end - at;
}

/**
 * The whole character before `at`; the ends of the text count as space.
 * @param {string} source
 * @param {number} at
 */
function characterBefore(source, at) {
  if (at === 0) return " ";
  const low = source.charCodeAt(at - 1);
  return low >= 0xdc00 && low <= 0xdfff && at > 1 ? source.slice(at - 2, at) : (source[at - 1] ?? " ");
}

/**
 * @param {string} source
 * @param {number} at
 */
function characterAt(source, at) {
  const code = source.codePointAt(at);
  return code === undefined ? " " : String.fromCodePoint(code);
}
