/**
 * Block Markdown, line by line, into a tree that only ever grows at its open end.
 *
 * A line whose newline has arrived is processed once and for all, so the cost is linear and a finished block is final.
 * The unfinished last line is processed on trial, so that it shows, and taken back when more of it comes. Thus the tree
 * of a streamed text equals the tree of the whole text, wherever it was cut.
 *
 * Spoken: paragraphs, ATX headings, fences, bullet and ordered lists, quotes, pipe tables, thematic breaks. A list keeps
 * a paragraph in every item (`loose` is only how it looks): going loose late must not change items already shown.
 */

import { Cursor, cells, headingText } from "./lines.js";

/**
 * One shape for all blocks, all fields always there: a trial is taken back by copying the fields back.
 * @typedef {object} Block
 * @property {"document" | "quote" | "list" | "item" | "paragraph" | "heading" | "code" | "rule" | "table" | "row"} type
 * @property {Block[]} children
 * @property {string} text source of a leaf
 * @property {number} level of a heading; first number of an ordered list
 * @property {string} mark language of a fence; bullet character or number delimiter of a list
 * @property {boolean} ordered
 * @property {boolean} loose
 * @property {boolean} gap a blank line was the last thing seen inside
 * @property {number} indent columns that belong to the item; indentation of a fence
 * @property {string} fence the opening run while the fence is open
 * @property {string[]} cells of a row
 * @property {string[]} align of a table: "" left center right
 */

const FENCE = /^(`{3,})([^`]*)$|^(~{3,})(.*)$/;
const HEADING = /^(#{1,6})(?=[ \t]|$)/;
const RULE = /^(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const MARKER = /^(?:([-+*])|(\d{1,9})([.)]))(?=[ \t]|$)/;
const DELIMITERS = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/** Deeper nesting is shown as text: nobody means it, and the tree is walked by recursion. */
const MOST_NESTED = 48;

/**
 * @param {Block["type"]} type
 * @param {Partial<Block>} [fields]
 * @returns {Block}
 */
function block(type, fields) {
  return {
    type, children: [], text: "", level: 0, mark: "", ordered: false, loose: false, gap: false, indent: 0, fence: "",
    cells: [], align: [], ...fields,
  };
}

export class Blocks {
  root = block("document");
  /** @type {Block[]} the open blocks, root first */
  #path = [this.root];
  #pending = "";
  /** @type {(() => void) | null} takes the trial of the unfinished line back */
  #takeBack = null;
  #heldReturn = false;

  /**
   * Take more text. `root` then shows everything written so far.
   * @param {string} text
   */
  write(text) {
    this.#takeBack?.();
    this.#takeBack = null;
    if (this.#heldReturn) text = `\r${text}`;
    this.#heldReturn = text.endsWith("\r"); // it may be the first half of CRLF
    if (this.#heldReturn) text = text.slice(0, -1);
    if (text.includes("\r")) text = text.replace(/\r\n?/g, "\n");
    const lines = text.split("\n");
    lines[0] = this.#pending + lines[0];
    this.#pending = /** @type {string} */ (lines.pop());
    for (const line of lines) this.#line(line);
    if (this.#pending) {
      this.#takeBack = this.#remember();
      this.#line(this.#pending, true);
    }
  }

  /** No more text comes: the last line is whole. More may still be written, after a resume. */
  end() {
    if (!this.#pending || !this.#takeBack) return;
    this.#takeBack();
    this.#takeBack = this.#remember();
    this.#line(this.#pending);
  }

  /** @returns {() => void} */
  #remember() {
    const path = [...this.#path];
    const saved = path.map((open) => ({ ...open, count: open.children.length, last: open.children.at(-1) }));
    return () => {
      path.forEach((open, i) => {
        const { children, count, last, ...fields } = /** @type {typeof saved[number]} */ (saved[i]);
        Object.assign(open, fields);
        children.length = count;
        if (last) children[count - 1] = last; // a paragraph that became a table on trial
      });
      this.#path = path;
    };
  }

  /**
   * @param {string} line
   * @param {boolean} [trial] the line may still grow
   */
  #line(line, trial = false) {
    const cursor = new Cursor(line);
    const leaf = /** @type {Block} */ (this.#path.at(-1));
    let matched = 1;
    while (matched < this.#path.length && this.#continues(/** @type {Block} */ (this.#path[matched]), cursor)) matched++;
    const all = matched === this.#path.length;

    if (leaf.type === "code" && all) return this.#code(leaf, cursor, trial);
    if (cursor.blank) return this.#blank(matched);

    /** @type {Block[]} */
    const containers = this.#path.slice(0, matched).filter((open) => open.type !== "paragraph" && open.type !== "table");
    let opened = false;
    const lazy = leaf.type === "paragraph";
    for (;;) {
      const parent = /** @type {Block} */ (containers.at(-1));
      // Behind a paragraph four columns of indentation are only indentation; code blocks by indentation are not spoken.
      if (cursor.indent > 3 || containers.length > MOST_NESTED) break;
      const rest = cursor.rest;
      if (leaf.type === "paragraph" && all && !opened && this.#table(leaf, rest)) return;
      if (rest[0] === ">") {
        cursor.quote();
        containers.push(this.#open(containers, block("quote")));
      } else if (RULE.test(rest)) {
        this.#open(containers, block("rule"));
        this.#path = containers;
        return;
      } else {
        const item = this.#marker(rest, cursor, lazy && !opened && all);
        if (!item) break;
        if (parent.type === "list" && parent.ordered === item.ordered && parent.mark === item.mark) parent.loose ||= parent.gap;
        else {
          if (parent.type === "list") containers.pop();
          containers.push(this.#open(containers, block("list", { ordered: item.ordered, mark: item.mark, level: item.level })));
        }
        containers.push(this.#open(containers, block("item", { indent: item.indent })));
      }
      opened = true;
      if (cursor.blank) break;
    }

    if (cursor.indent <= 3 && !cursor.blank) {
      const rest = cursor.rest;
      const fence = FENCE.exec(rest);
      const heading = HEADING.exec(rest);
      /** @type {Block | null} */
      let started = null;
      if (fence) {
        const mark = (fence[2] ?? fence[4] ?? "").trim().split(/\s+/)[0] ?? "";
        started = block("code", { fence: fence[1] ?? fence[3] ?? "", mark, indent: cursor.indent });
      } else if (heading) started = block("heading", { level: (heading[1] ?? "").length, text: headingText(rest.slice(heading[0].length)) });
      if (started) {
        this.#closeList(containers);
        this.#open(containers, started);
        this.#path = started.type === "code" ? [...containers, started] : containers;
        return;
      }
    }
    if (cursor.blank) {
      this.#path = containers;
      return;
    }
    if (!opened && lazy) {
      leaf.text += `\n${cursor.rest}`; // also a lazy line: without its markers it still belongs to the paragraph
      return;
    }
    if (!opened && leaf.type === "table" && all) {
      leaf.children.push(block("row", { cells: cells(cursor.rest, leaf.align.length) }));
      return;
    }
    this.#closeList(containers);
    const paragraph = this.#open(containers, block("paragraph", { text: cursor.rest }));
    this.#path = [...containers, paragraph];
  }

  /**
   * Does the open block go on in this line? Eats its marker if so.
   * @param {Block} open
   * @param {Cursor} cursor
   */
  #continues(open, cursor) {
    if (open.type === "quote") {
      if (cursor.blank || cursor.indent > 3 || cursor.rest[0] !== ">") return false;
      cursor.quote();
      return true;
    }
    if (open.type === "item") {
      if (cursor.blank) return open.children.length > 0;
      if (cursor.indent < open.indent) return false;
      cursor.skip(open.indent);
      return true;
    }
    if (open.type === "paragraph" || open.type === "table") return !cursor.blank;
    return true;
  }

  /**
   * @param {Block} leaf
   * @param {Cursor} cursor
   * @param {boolean} trial
   */
  #code(leaf, cursor, trial) {
    const rest = cursor.rest.trimEnd();
    const closes = cursor.indent <= 3 && rest.length > 0 && rest === leaf.fence.charAt(0).repeat(rest.length);
    if (closes && rest.length >= leaf.fence.length) {
      this.#path = this.#path.slice(0, -1);
      leaf.fence = "";
      return;
    }
    if (closes && trial) return; // most likely the first characters of the closing fence
    cursor.skip(Math.min(leaf.indent, cursor.indent));
    leaf.text += cursor.raw + (trial ? "" : "\n");
  }

  /** @param {number} matched */
  #blank(matched) {
    const open = this.#path.slice(0, matched);
    if (open.at(-1)?.type === "paragraph" || open.at(-1)?.type === "table") open.pop();
    for (const container of open) container.gap = true;
    this.#path = open;
  }

  /**
   * A list item's marker, with the column its content starts at.
   * @param {string} rest
   * @param {Cursor} cursor
   * @param {boolean} inParagraph
   */
  #marker(rest, cursor, inParagraph) {
    const match = MARKER.exec(rest);
    if (!match) return null;
    const [written, bullet, number] = match;
    // A year at the start of a wrapped line is no list, nor is a lonely dash.
    if (inParagraph && (rest.length === written.length || (number !== undefined && Number(number) !== 1))) return null;
    const before = cursor.indent;
    cursor.skip(before);
    cursor.eat(written.length);
    const spaces = cursor.indent;
    const inner = cursor.blank || spaces > 4 ? 1 : spaces;
    cursor.skip(Math.min(inner, spaces));
    return {
      ordered: number !== undefined, mark: bullet ?? match[3] ?? "", level: Number(number ?? 0),
      indent: before + written.length + inner,
    };
  }

  /**
   * The last line of the paragraph becomes a table's head when the line behind it is a row of delimiters.
   * @param {Block} leaf
   * @param {string} rest
   */
  #table(leaf, rest) {
    if (!DELIMITERS.test(rest)) return false;
    const at = leaf.text.lastIndexOf("\n") + 1;
    const head = leaf.text.slice(at);
    if (!head.includes("|") && !rest.includes("|")) return false;
    const align = cells(rest).map((cell) => (cell.startsWith(":") ? (cell.endsWith(":") ? "center" : "left") : cell.endsWith(":") ? "right" : ""));
    const titles = cells(head);
    if (titles.length !== align.length) return false;
    const table = block("table", { align, children: [block("row", { cells: titles })] });
    const parent = /** @type {Block} */ (this.#path.at(-2));
    // Finished blocks never change, so a table gets a place of its own and the paragraph is replaced, not edited.
    parent.children.pop();
    if (at > 0) parent.children.push(block("paragraph", { text: leaf.text.slice(0, at - 1) }));
    parent.children.push(table);
    this.#path = [...this.#path.slice(0, -1), table];
    return true;
  }

  /**
   * @param {Block[]} containers
   * @param {Block} child
   */
  #open(containers, child) {
    if (child.type !== "item") this.#closeList(containers);
    const parent = /** @type {Block} */ (containers.at(-1));
    const list = containers.at(-2);
    if (parent.type === "item" && parent.gap && parent.children.length > 0 && list) list.loose = true;
    for (const container of containers) container.gap = false;
    parent.children.push(child);
    return child;
  }

  /**
   * Only items live in a list: anything else ends it.
   * @param {Block[]} containers
   */
  #closeList(containers) {
    if (containers.at(-1)?.type === "list") containers.pop();
  }
}
