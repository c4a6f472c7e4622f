/** The four tags models write where Markdown has no sign: `<br>`, and `<sub> <sup> <kbd>` with their end. No attributes. */

/** @typedef {any} MarkdownIt */

const TAG = /<(?:(br) ?\/?|(sub|sup|kbd))>/iy;
/** @type {Record<string, RegExp>} */
const ENDS = { sub: /<\/sub>/i, sup: /<\/sup>/i, kbd: /<\/kbd>/i };
/** An end further away than this is not looked for: a text of lone tags would be quadratic. */
const MOST = 512;

/** @param {MarkdownIt} md */
export function tagRule(md) {
  md.inline.ruler.before("autolink", "tag", tag);
}

/**
 * @param {any} state
 * @param {boolean} silent
 */
function tag(state, silent) {
  TAG.lastIndex = state.pos;
  const match = TAG.exec(state.src);
  if (!match) return false;
  const from = state.pos + match[0].length;
  if (match[1]) {
    if (!silent) state.push("hardbreak", "br", 0);
    state.pos = from;
    return true;
  }
  const name = /** @type {string} */ (match[2]).toLowerCase();
  const length = state.src.slice(from, Math.min(state.posMax, from + MOST)).search(ENDS[name]);
  if (length < 0) return false;
  if (!silent) {
    const { posMax } = state;
    state.push("tag_open", name, 1);
    state.pos = from;
    state.posMax = from + length;
    state.md.inline.tokenize(state);
    state.push("tag_close", name, -1);
    state.posMax = posMax;
  }
  state.pos = from + length + `</${name}>`.length;
  return true;
}
