/**
 * Blocks on the page. Only the open end is ever touched again; what is finished keeps its nodes, so selection, focus and
 * layout survive. Everything enters as text nodes and elements made here: no HTML is ever parsed.
 */

import { parseInline } from "./inline.js";
import { cutWhole } from "../records.js";

/** @typedef {import("./blocks.js").Block} Block */
/** @typedef {import("./inline.js").Inline} Inline */
/**
 * @typedef {object} Painted what stands on the page for a block
 * @property {Block} block
 * @property {HTMLElement} el
 * @property {Painted[]} children
 * @property {string} text
 * @property {Inline[]} inline
 */

/** A parent with thousands of children, or one text box of megabytes, is laid out whole on every change. */
const FAN = 64;
const BOX_LINES = 64;
const BOX_UNITS = 4_096;

/**
 * Paints a document into `el`, in groups of groups of 64 blocks.
 * @param {HTMLElement} el
 * @returns {(root: Block) => void}
 */
export function createPaper(el) {
  /** @type {Painted[]} */
  const painted = [];
  return (root) => paintChildren(painted, root.children, (child) => lastGroup(el).append(child));
}

/**
 * The group that takes the next block.
 * @param {HTMLElement} el
 */
function lastGroup(el) {
  let outer = el.lastElementChild;
  let group = outer?.lastElementChild;
  if (!outer || !group || group.childElementCount >= FAN) {
    if (!outer || outer.childElementCount >= FAN) outer = el.appendChild(element("div", "nbstream-groups"));
    group = outer.appendChild(element("div", "nbstream-group"));
  }
  return group;
}

/**
 * Blocks before the last one that is still the same object are finished, blocks behind it are new.
 * @param {Painted[]} painted
 * @param {Block[]} blocks
 * @param {(el: HTMLElement) => void} append
 */
function paintChildren(painted, blocks, append) {
  while (painted.length > 0 && painted.at(-1)?.block !== blocks[painted.length - 1]) painted.pop()?.el.remove();
  const last = painted.at(-1);
  if (last) update(last);
  for (const block of blocks.slice(painted.length)) {
    const entry = create(block);
    painted.push(entry);
    update(entry);
    append(entry.el);
  }
}

/**
 * @param {Block} block
 * @returns {Painted}
 */
function create(block) {
  return { block, el: shell(block), children: [], text: "", inline: [] };
}

/** @param {Block} block */
function shell(block) {
  switch (block.type) {
    case "quote":
      return element("blockquote");
    case "list": {
      const list = element(block.ordered ? "ol" : "ul");
      if (block.ordered && block.level !== 1) list.setAttribute("start", String(block.level));
      return list;
    }
    case "item":
      return element("li");
    case "heading":
      return element(`h${block.level}`);
    case "code": {
      const pre = element("pre");
      const code = pre.appendChild(element("code"));
      if (block.mark) code.dataset.language = block.mark;
      return pre;
    }
    case "rule":
      return element("hr");
    case "table": {
      const frame = element("div", "nbstream-table");
      frame.appendChild(element("table")).appendChild(element("thead"));
      return frame;
    }
    default:
      return element("p");
  }
}

/** @param {Painted} painted */
function update(painted) {
  const { block, el } = painted;
  switch (block.type) {
    case "quote":
    case "item":
      return paintChildren(painted.children, block.children, (child) => el.append(child));
    case "list":
      el.classList.toggle("nbstream-loose", block.loose);
      return paintChildren(painted.children, block.children, (child) => el.append(child));
    case "code":
      return paintCode(painted);
    case "table":
      return paintRows(painted);
    case "paragraph":
    case "heading": {
      if (block.text === painted.text) return;
      const inline = inPieces(parseInline(block.text));
      paintInline(el, painted.inline, inline);
      painted.inline = inline;
      painted.text = block.text;
    }
  }
}

/**
 * Code only grows; a line that turned out to be the closing fence is the one exception.
 * @param {Painted} painted
 */
function paintCode(painted) {
  const { block } = painted;
  if (block.text === painted.text) return;
  const code = /** @type {HTMLElement} */ (painted.el.firstElementChild);
  if (!block.text.startsWith(painted.text)) {
    code.replaceChildren();
    painted.text = "";
  }
  for (let at = painted.text.length; at < block.text.length; ) at += growBox(code, block.text, at);
  painted.text = block.text;
}

/**
 * Put text from `at` on into the last box, or a new one behind a full box. Returns how much it took.
 * @param {HTMLElement} code
 * @param {string} text
 * @param {number} at
 */
function growBox(code, text, at) {
  let box = /** @type {HTMLElement | null} */ (code.lastElementChild);
  let node = /** @type {globalThis.Text | null | undefined} */ (box?.lastChild);
  const full = Number(box?.dataset.lines ?? 0) >= BOX_LINES || (box?.childNodes.length ?? 0) > 1;
  if (!box || (full && node?.data.endsWith("\n"))) {
    box = code.appendChild(element("span", "nbstream-codebox"));
    node = null;
  }
  if (!node || node.length > BOX_UNITS - 2) node = box.appendChild(document.createTextNode(""));
  const most = at + BOX_UNITS - node.length;
  let lines = Number(box.dataset.lines ?? 0);
  let end = at;
  while (end < most && end < text.length && lines < BOX_LINES) {
    const behind = text.indexOf("\n", end) + 1;
    if (behind === 0 || behind > most) {
      end = at + cutWhole(text.slice(at, most + 1), most - at)[0].length;
      break;
    }
    end = behind;
    lines++;
  }
  node.appendData(text.slice(at, end));
  box.dataset.lines = String(lines);
  return end - at;
}

/** @param {Painted} painted */
function paintRows({ block, el, children }) {
  const table = /** @type {HTMLElement} */ (el.firstElementChild);
  while (children.length > 0 && children.at(-1)?.block !== block.children[children.length - 1]) children.pop()?.el.remove();
  for (const row of block.children.slice(children.length)) {
    const head = children.length === 0;
    const tr = element("tr");
    row.cells.forEach((text, column) => {
      const cell = tr.appendChild(element(head ? "th" : "td"));
      const align = block.align[column];
      if (align) cell.style.textAlign = align;
      paintInline(cell, [], parseInline(text));
    });
    children.push({ block: row, el: tr, children: [], text: "", inline: [] });
    let section = /** @type {Element} */ (table.lastElementChild);
    if (!head && (section.tagName === "THEAD" || section.childElementCount >= FAN)) section = table.appendChild(element("tbody"));
    section.append(tr);
  }
}

/**
 * Keep what is the same at the front, let a last text grow, replace the rest. One node on the page for one of the tree.
 * @param {HTMLElement} el
 * @param {Inline[]} old
 * @param {Inline[]} now
 */
function paintInline(el, old, now) {
  let same = 0;
  while (same < old.length && same < now.length && equal(old[same], now[same])) same++;
  const before = old[same];
  const after = now[same];
  if (before?.type === "text" && after?.type === "text" && after.text.startsWith(before.text)) {
    /** @type {globalThis.Text} */ (el.childNodes[same]).appendData(after.text.slice(before.text.length));
    same++;
  }
  while (el.childNodes.length > same) el.lastChild?.remove();
  for (const node of now.slice(same)) el.append(inlineNode(node));
}

/**
 * @param {Inline} node
 * @returns {Node}
 */
function inlineNode(node) {
  switch (node.type) {
    case "text":
      return document.createTextNode(node.text);
    case "break":
      return element("br");
    case "code": {
      const code = element("code");
      code.append(document.createTextNode(node.text));
      return code;
    }
    case "link": {
      const link = /** @type {HTMLAnchorElement} */ (element("a", node.image ? "nbstream-image" : ""));
      link.setAttribute("href", node.href);
      link.setAttribute("target", "_blank");
      link.setAttribute("rel", "noopener noreferrer nofollow");
      link.append(...node.children.map(inlineNode));
      return link;
    }
    default: {
      const styled = element(node.type);
      styled.append(...node.children.map(inlineNode));
      return styled;
    }
  }
}

/**
 * A long text in pieces: growing one of them leaves the shape of the others alone.
 * @param {Inline[]} nodes
 * @returns {Inline[]}
 */
function inPieces(nodes) {
  return nodes.flatMap((node) => {
    if (node.type !== "text" || node.text.length <= BOX_UNITS) return [node];
    const pieces = [];
    for (let rest = node.text; rest; ) {
      const [text, behind] = cutWhole(rest, BOX_UNITS);
      pieces.push({ type: /** @type {const} */ ("text"), text });
      rest = behind;
    }
    return pieces;
  });
}

/**
 * @param {Inline | undefined} a
 * @param {Inline | undefined} b
 * @returns {boolean}
 */
function equal(a, b) {
  if (!a || !b || a.type !== b.type) return false;
  if ("text" in a && "text" in b) return a.text === b.text;
  if (a.type === "link" && b.type === "link" && a.href !== b.href) return false;
  if (!("children" in a) || !("children" in b)) return true;
  return a.children.length === b.children.length && a.children.every((child, i) => equal(child, b.children[i]));
}

/**
 * @param {string} tag
 * @param {string} [className]
 */
function element(tag, className) {
  const el = document.createElement(tag);
  if (className) el.className = className;
  return el;
}
