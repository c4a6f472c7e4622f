/**
 * What is open where a piece begins or ends: a list, an item, a quote, a table, a long paragraph, a fence. A piece that
 * begins inside of them is parsed behind a few lines that open them again.
 */

/**
 * @typedef {object} Look how all segments of one list look
 * @property {boolean} loose
 * @property {boolean} [looseAtEnd] its last line makes it so, which is whole only as far as anybody knows
 */
/**
 * @typedef {object} Open plain data, outermost first in a path
 * @property {"list" | "item" | "quote" | "table" | "paragraph" | "fence" | "code"} type
 * @property {Look} [look] of a list
 * @property {number} [number] of a list's item that is next
 * @property {number[]} [widths] of a table's columns, in percent
 */
/**
 * @typedef {Open & {line: number, markup?: string}} Placed with the line it begins at
 */

/** Deeper ones are not opened again: their outermost block stays whole. */
const DEEPEST = 64;
const WIDEST = 160;

/**
 * The lines that open a path of lists and quotes again, and what a line inside begins with. Null where that cannot be said
 * in a few characters: very deep. The item's content is a rule, which `parser.js` drops: it needs no blank line
 * behind it, so it does not make the list loose.
 * @param {Placed[]} path
 * @param {(line: number) => string} textOf
 * @returns {{prefix: string, lead: string} | null}
 */
export function openAgain(path, textOf) {
  if (path.length > DEEPEST) return null;
  let prefix = "";
  let lead = "";
  for (const [depth, open] of path.entries()) {
    if (open.type === "quote") lead += "> ";
    if (open.type !== "item") continue;
    const marker = upToContent(untabbed(textOf(open.line)), path.slice(0, depth + 1));
    if (marker === null) return null;
    // A quote takes one space behind its sign, if there is one: without it the lead would be a column short.
    lead = marker.replace(/>(?! )/g, "> ").replace(/[^>]/g, " ");
    const deeper = path.slice(depth + 1).find((inner) => inner.type === "item");
    if (deeper?.line !== open.line) prefix += `${marker}___\n`;
  }
  return { prefix, lead };
}

/**
 * The part of an item's first line before its content.
 * @param {string} line
 * @param {Placed[]} path up to this item
 * @returns {string | null}
 */
function upToContent(line, path) {
  const own = path.at(-1)?.line;
  let rest = line;
  for (const open of path) {
    const marker = open.type === "quote" ? /^ *> ?/ : open.type === "item" && open.line === own ? /^ *(?:[-+*]|\d{1,9}[.)])/ : null;
    if (!marker) continue;
    const match = marker.exec(rest);
    if (!match) return null;
    rest = rest.slice(match[0].length);
    if (open.type === "quote") continue;
    const spaces = /^ */.exec(rest)?.[0].length ?? 0;
    if (spaces === 0 && rest) return null;
    // Five and more are one and an indented code block.
    rest = rest.slice(spaces > 4 || spaces === rest.length ? Math.min(1, rest.length) : spaces);
  }
  let text = line.slice(0, line.length - rest.length);
  if (!/[ >]$/.test(text)) text += " ";
  return text.length > WIDEST ? null : text;
}

/**
 * Tabs lead to columns of four, also behind the sign of an item or a quote.
 * @param {string} line
 */
function untabbed(line) {
  for (let at = line.indexOf("\t"); at >= 0 && at < WIDEST; at = line.indexOf("\t", at)) {
    line = line.slice(0, at) + " ".repeat(4 - (at % 4)) + line.slice(at + 1);
  }
  return line;
}
