/** JSON for people: indented, and nothing of it changed. */

/** What is longer is shown as it came: nobody reads that much, and indenting makes it longer still. */
export const PRETTY_UNITS = 65_536;
/** Deeper nesting is not indented further: every line of a hostile value would carry its depth in spaces. */
const DEEPEST = 20;

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/**
 * Indent an object or a list; null for anything else, and for what is no JSON (yet).
 *
 * By its tokens, never through the parsed value: that would round long numbers and drop doubled keys.
 * @param {string} text
 * @returns {string | null}
 */
export function pretty(text) {
  const first = text.trimStart()[0];
  if ((first !== "{" && first !== "[") || text.length > PRETTY_UNITS || !isJson(text)) return null;
  const tokens = text.match(TOKENS) ?? [];
  let out = "";
  let depth = 0;
  tokens.forEach((token, i) => {
    const empty = (token === "}" || token === "]") && (tokens[i - 1] === "{" || tokens[i - 1] === "[");
    if (token === "}" || token === "]") out += empty ? token : line(--depth) + token;
    else if (token === ",") out += `,${line(depth)}`;
    else if (token === ":") out += ": ";
    else out += token;
    if ((token === "{" || token === "[") && tokens[i + 1] !== "}" && tokens[i + 1] !== "]") out += line(++depth);
  });
  return out;
}

/** @param {number} depth */
const line = (depth) => `\n${"  ".repeat(Math.min(depth, DEEPEST))}`;

/** @param {string} text */
function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
