/**
 * Formulas: `$..$`, `$$..$$` and `\(..\)` inside a line, `$$..$$` and `\[..\]` as blocks. A block stays open like a fence
 * until its closer comes; a blank line or 8 KB without one mean that it was none, and its first line is plain text. So
 * where it begins never changes, and what is before it is final.
 */

/** @typedef {any} MarkdownIt */

const MOST_BLOCK = 8_192;
const MOST_INLINE = 1_024;

/** @param {MarkdownIt} md */
export function mathRule(md) {
  md.block.ruler.before("fence", "math_block", mathBlock, { alt: ["paragraph", "reference", "blockquote", "list"] });
  md.inline.ruler.before("escape", "math_inline", mathInline);
}

/**
 * @param {any} state
 * @param {number} startLine
 * @param {number} endLine
 * @param {boolean} silent
 */
function mathBlock(state, startLine, endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false;
  /** @param {number} line */
  const textOf = (line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);
  const first = textOf(startLine);
  const closer = first.startsWith("$$") ? "$$" : first.startsWith("\\[") ? "\\]" : null;
  if (!closer) return false;
  const head = first.slice(2).trimEnd();
  const at = head.indexOf(closer);
  // `$$x$$ and so on` is a line with a formula in it.
  if (at >= 0 && at < head.length - 2) return false;
  // `\[no link](...)` is an escaped bracket.
  if (closer === "\\]" && (at === 0 || (at < 0 && /\][(:]/.test(head)))) return false;
  if (silent) return true;
  if (state.env.beginning?.plain?.includes(startLine)) return pushLine(state, startLine, first);

  const body = [];
  let text = head;
  let line = startLine;
  let size = 0;
  for (;;) {
    size += text.length + 1;
    const trimmed = text.trimEnd();
    if (trimmed.endsWith(closer)) {
      body.push(trimmed.slice(0, -2));
      return pushFormula(state, startLine, line + 1, body, first.slice(0, 2), true);
    }
    body.push(text);
    line++;
    if (line >= endLine || (state.sCount[line] < state.blkIndent && !state.isEmpty(line))) {
      return size > MOST_BLOCK ? pushLine(state, startLine, first) : pushFormula(state, startLine, line, body, first.slice(0, 2), false);
    }
    if (state.isEmpty(line) || size > MOST_BLOCK) return pushLine(state, startLine, first);
    text = textOf(line);
  }
}

/**
 * @param {any} state
 * @param {number} from
 * @param {number} to
 * @param {string[]} body
 * @param {string} opener
 * @param {boolean} closed
 */
function pushFormula(state, from, to, body, opener, closed) {
  const token = state.push("math_block", "math", 0);
  const closer = opener === "$$" ? "$$" : "\\]";
  const text = body.join("\n");
  token.content = text.trim();
  token.markup = closed ? `${opener}${text}${closer}` : opener + text;
  token.meta = { closed };
  token.map = [from, to];
  state.line = to;
  return true;
}

/**
 * @param {any} state
 * @param {number} line
 * @param {string} text
 */
function pushLine(state, line, text) {
  const paragraph = state.push("paragraph_open", "p", 1);
  paragraph.map = [line, line + 1];
  // A piece may end before what told so; then its recipe says it.
  paragraph.meta = { noFormula: true };
  const inline = state.push("inline", "", 0);
  inline.content = text.trim();
  inline.map = [line, line + 1];
  inline.children = [];
  state.push("paragraph_close", "p", -1);
  state.line = line + 1;
  return true;
}

/**
 * @param {any} state
 * @param {boolean} silent
 */
function mathInline(state, silent) {
  const { src, pos, posMax } = state;
  const form = formAt(src, pos);
  if (!form) return false;
  const from = pos + form.opener.length;
  const end = closerAt(src, from, Math.min(posMax, from + MOST_INLINE), form);
  if (end < 0) return false;
  if (!silent) {
    const token = state.push("math_inline", "math", 0);
    token.content = src.slice(from, end).trim();
    token.markup = src.slice(pos, end + form.closer.length);
    token.meta = { display: form.opener === "$$" };
  }
  state.pos = end + form.closer.length;
  return true;
}

/** @typedef {{opener: string, closer: string}} Form */

/**
 * @param {string} src
 * @param {number} pos
 * @returns {Form | null}
 */
function formAt(src, pos) {
  if (src.startsWith("\\(", pos)) return { opener: "\\(", closer: "\\)" };
  if (src[pos] !== "$" || src[pos - 1] === "$") return null;
  if (src[pos + 1] === "$") return src[pos + 2] === "$" ? null : { opener: "$$", closer: "$$" };
  // US$5 and a$b are no formulas, nor is $ 5.
  if (/[\p{L}\p{N}\\]/u.test(src[pos - 1] ?? " ") || /\s/.test(src[pos + 1] ?? " ")) return null;
  return { opener: "$", closer: "$" };
}

/**
 * Where the closer begins, or -1. For `$` as pandoc has it: no space before, no digit or letter behind, so that
 * "$5 to $10" stays money.
 * @param {string} src
 * @param {number} from
 * @param {number} most
 * @param {Form} form
 */
function closerAt(src, from, most, { closer }) {
  for (let at = src.indexOf(closer, from); at >= 0 && at < most; at = src.indexOf(closer, at + 1)) {
    const escaped = src[at - 1] === "\\" && src[at - 2] !== "\\";
    if (closer !== "\\)" && escaped) continue;
    const text = src.slice(from, at);
    if (!text.trim()) return -1;
    if (closer !== "$") return at;
    // The next dollar closes or none does: "$5 to $10 or $x$".
    if (/\s/.test(src[at - 1] ?? " ") || /[\p{L}\p{N}$]/u.test(src[at + 1] ?? " ")) return -1;
    return /^\d[\d.,]*\s+\p{L}{2,}/u.test(text) ? -1 : at; // "$5 and 3$"
  }
  return -1;
}
