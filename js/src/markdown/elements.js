/** Elements made of tokens. Text enters as text nodes, attributes are ours or were looked at: no HTML is ever parsed. */

import { formula } from "./formulas.js";
import { image, plainText } from "./images.js";
import { parser } from "./parser.js";

/** @typedef {any} Token */
/**
 * @typedef {object} Context
 * @property {import("./formulas.js").Formulas} [formulas] without it a formula shows its source
 * @property {Set<string>} [pictures] addresses of those that the reader asked for
 * @property {(code: HTMLElement, language: string) => void} [onCode] takes every block of code
 */

/** A text box that is larger is laid out whole on every change. */
const BOX_UNITS = 4_096;
const SAFE_HREF = /^(?:https?:\/\/[^/?#]|mailto:[^?])/i;

/**
 * @param {Token[]} tokens of blocks
 * @param {Context} context
 * @returns {DocumentFragment}
 */
export function build(tokens, context) {
  const fragment = document.createDocumentFragment();
  /** @type {Node[]} */
  const path = [fragment];
  for (const token of tokens) {
    const parent = /** @type {Node} */ (path.at(-1));
    if (token.type === "inline") {
      if (token.meta?.plain) parent.appendChild(document.createTextNode(token.meta.plain));
      if (token.meta?.task) {
        parent.appendChild(taskBox(token));
        const item = path.at(-2); // not `:has()` in the style sheet: every paint would look for boxes in every item
        if (item?.nodeName === "LI") /** @type {Element} */ (item).classList.add("nbstream-task-item");
      }
      buildInline(token.children, parent, context);
    } else if (token.nesting > 0) {
      const el = container(token);
      parent.appendChild(el);
      path.push(token.type === "table_open" ? /** @type {Node} */ (el.firstChild) : el);
    } else if (token.nesting < 0) {
      path.pop();
    } else {
      parent.appendChild(leaf(token, context));
    }
  }
  return fragment;
}

/**
 * @param {string} tag
 * @param {string} [className]
 */
export function element(tag, className) {
  const el = document.createElement(tag);
  if (className) el.className = className;
  return el;
}

/** @param {Token} token */
function container(token) {
  switch (token.type) {
    case "ordered_list_open":
    case "bullet_list_open": {
      const list = element(token.tag, token.meta?.open.look.loose || token.meta?.open.look.looseAtEnd ? "nbstream-loose" : "");
      if (token.tag === "ol" && token.meta && token.meta.start !== 1) list.setAttribute("start", String(token.meta.start));
      return list;
    }
    case "table_open": {
      const frame = element("div", "nbstream-table");
      frame.append(element("table"));
      return frame;
    }
    case "th_open":
    case "td_open": {
      const cell = element(token.tag);
      const align = /^text-align:(left|center|right)$/.exec(token.attrGet("style") ?? "")?.[1];
      if (align) cell.style.textAlign = align;
      return cell;
    }
    default:
      return element(token.tag);
  }
}

/**
 * @param {Token} token
 * @param {Context} context
 */
function leaf(token, context) {
  if (token.type === "hr") return element("hr");
  if (token.type === "math_block") {
    return token.meta.closed ? formula({ tex: token.content, source: token.markup, display: true, block: true }, context.formulas) : textBlock("div", token.markup);
  }
  const pre = element("pre");
  const code = pre.appendChild(element("code"));
  appendText(code, token.content);
  const language = token.type === "fence" ? languageOf(token.info) : "";
  if (language) {
    code.className = `language-${language}`;
    context.onCode?.(code, language);
  }
  return pre;
}

/** @param {string} info of a fence */
function languageOf(info) {
  return parser.utils.unescapeAll(info).trim().split(/\s+/, 1)[0] ?? "";
}

/**
 * @param {Token[]} tokens
 * @param {Node} parent
 * @param {Context} context
 */
function buildInline(tokens, parent, context) {
  const path = [parent];
  for (const token of tokens) {
    const into = /** @type {Node} */ (path.at(-1));
    if (token.nesting < 0) path.pop();
    else if (token.type === "text" || token.type === "text_special") appendText(into, token.content);
    else if (token.type === "softbreak") into.appendChild(document.createTextNode("\n"));
    else if (token.nesting > 0) {
      const el = token.type === "link_open" ? link(token) : element(token.tag === "s" ? "del" : token.tag);
      into.appendChild(el);
      path.push(el);
    } else into.appendChild(inlineLeaf(token, path.some((node) => node.nodeName === "A"), context));
  }
}

/**
 * @param {Token} token
 * @param {boolean} inLink
 * @param {Context} context
 */
function inlineLeaf(token, inLink, context) {
  switch (token.type) {
    case "hardbreak":
      return element("br");
    case "code_inline": {
      const code = element("code");
      appendText(code, token.content);
      return code;
    }
    case "image":
      return image(token, inLink, context.pictures ?? new Set());
    case "math_inline":
      return formula({ tex: token.content, source: token.markup, display: token.meta.display, block: false }, context.formulas);
    default:
      return document.createTextNode(token.content);
  }
}

/** A link that leads nowhere safe stays a word; of one without a scheme is told where it led. @param {Token} token */
function link(token) {
  const a = element("a");
  const href = token.attrGet("href") ?? "";
  if (SAFE_HREF.test(href)) {
    a.setAttribute("href", href);
    a.setAttribute("target", "_blank");
    a.setAttribute("rel", "noopener noreferrer nofollow");
  } else if (!/^[^/?#]*:/.test(href)) a.dataset.href = href;
  const title = token.attrGet("title");
  if (title) a.setAttribute("title", title);
  return a;
}

/** @param {Token} inline of an item */
function taskBox(inline) {
  const box = document.createElement("input");
  box.setAttribute("type", "checkbox");
  box.setAttribute("disabled", "");
  if (inline.meta.task === "done") box.setAttribute("checked", "");
  box.setAttribute("aria-label", plainText(inline.children).trim().slice(0, 80) || "task");
  box.className = "nbstream-task";
  return box;
}

/**
 * @param {string} tag
 * @param {string} text
 */
function textBlock(tag, text) {
  const el = element(tag, "nbstream-source");
  appendText(el, text);
  return el;
}

/**
 * @param {Node} parent
 * @param {string} text
 */
function appendText(parent, text) {
  for (let at = 0; at < text.length; ) {
    let end = at + BOX_UNITS;
    if (/[\ud800-\udbff]/.test(text.charAt(end - 1))) end--;
    parent.appendChild(document.createTextNode(text.slice(at, end)));
    at = end;
  }
}
