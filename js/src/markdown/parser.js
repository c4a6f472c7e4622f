/** markdown-it as we want it: no HTML, our rules, and a document that may begin in the middle. */

import MarkdownIt from "markdown-it";

import { mathRule } from "./math_rule.js";
import { outline } from "./outline.js";
import { tagRule } from "./tag_rule.js";

/** @typedef {any} Token markdown-it's; its own types know no `meta` of ours */
/** @typedef {import("./open.js").Open} Open */
/**
 * @typedef {object} Beginning how a piece begins
 * @property {string} prefix lines of ours that open again what was open
 * @property {string} joint what joins a paragraph that goes on to the "x" that opens it
 * @property {Open[]} enters what was open, outermost first
 * @property {number[]} [plain] lines, those of the prefix too, that look like the start of a formula but are none
 */

export const parser = new MarkdownIt({ html: false, linkify: true });
parser.use(mathRule).use(tagRule);
parser.block.ruler.before("table", "too_deep", tooDeep, { alt: [] });
parser.core.ruler.after("block", "outline", outlineRule);
parser.core.ruler.after("text_join", "task", taskRule);

/** markdown-it drops what is nested deeper than 100 levels; a text that nests so is shown as text. */
const DEEPEST = 90;

/**
 * @param {string} source
 * @param {Beginning} beginning
 * @param {Record<string, any>} references
 * @returns {Token[]}
 */
export function parse(source, beginning, references) {
  return parser.parse(beginning.prefix + source, { references, beginning });
}

/**
 * Blocks only, in the order of their lines: what it takes to see where they begin.
 * @param {string} text with its prefix, line ends are "\n"
 * @returns {Token[]}
 */
export function parseBlocks(text) {
  /** @type {Token[]} */
  const tokens = [];
  parser.block.parse(text, parser, { references: {} }, tokens);
  return tokens;
}

/**
 * @param {any} state
 * @param {number} startLine
 * @param {number} endLine
 * @param {boolean} silent
 */
function tooDeep(state, startLine, endLine, silent) {
  if (state.level < DEEPEST || silent) return false;
  let line = startLine;
  while (line < endLine && (state.isEmpty(line) || state.sCount[line] >= state.blkIndent)) line++;
  state.push("paragraph_open", "p", 1).map = [startLine, line];
  const inline = state.push("inline", "", 0);
  inline.content = "";
  inline.children = [];
  inline.meta = { plain: state.getLines(startLine, line, state.blkIndent, false).trim() };
  state.push("paragraph_close", "p", -1);
  state.line = line;
  return true;
}

/**
 * Say what each container is, and take our own opening lines out again.
 * @param {any} state
 */
function outlineRule({ env, tokens, src }) {
  /** @type {Beginning | undefined} */
  const beginning = env.beginning;
  if (!beginning) return;
  outline(tokens, src, beginning);
  if (!beginning.prefix) return;
  const leaf = beginning.enters.at(-1)?.type;
  let kept = 0;
  let head = false;
  let opened = false;
  const lines = beginning.prefix.split("\n").length - 1;
  for (const token of tokens) {
    if (token.type === "hr" && token.map[0] < lines) continue;
    if (leaf === "table" && token.type === "thead_open" && token.map[0] < lines) head = true;
    if (leaf === "paragraph" && token.type === "inline" && !opened) {
      token.content = token.content.slice(1 + beginning.joint.length).trimStart();
      opened = true;
    }
    if (!head) tokens[kept++] = token;
    if (token.type === "thead_close") head = false;
  }
  tokens.length = kept;
}

/**
 * "[ ] " and "[x] " at the start of an item are boxes.
 * @param {any} state
 */
function taskRule({ tokens }) {
  for (let i = 2; i < tokens.length; i++) {
    if (tokens[i].type !== "inline" || tokens[i - 1].type !== "paragraph_open" || tokens[i - 2].type !== "list_item_open") continue;
    const first = tokens[i].children[0];
    const match = first?.type === "text" ? /^\[([ xX])\](?:[ \t]|$)/.exec(first.content) : null;
    // "[ ]" alone is a box only once something stands behind it.
    if (!match || (match[0].length === first.content.length && tokens[i].children.length === 1)) continue;
    first.content = first.content.slice(match[0].length);
    tokens[i].meta = { ...tokens[i].meta, task: match[1] === " " ? "open" : "done" };
  }
}
