/**
 * Named character references, in place of the package `entities`: the page knows all of them, so its 13 KB (gzipped)
 * table need not travel.
 */

/** @type {Map<string, string>} */
const known = new Map();

/** There are 2,125 names; more than that is a text that makes them up. */
const MOST_KNOWN = 4_096;

/**
 * One reference with its ampersand and semicolon, decoded; as it came when there is no such name.
 * @param {string} reference
 */
export function decodeHTMLStrict(reference) {
  // Only this form ever reaches the page's parser, so nothing in it can be a tag.
  if (!/^&[a-z][a-z0-9]{1,31};$/i.test(reference)) return reference;
  const before = known.get(reference);
  if (before !== undefined) return before;
  const text = new DOMParser().parseFromString(reference, "text/html").body.textContent ?? reference;
  // `&notit;` is read as `&not` and "it;": half a name is no name.
  const decoded = text.endsWith(";") && reference !== "&semi;" ? reference : text;
  if (known.size >= MOST_KNOWN) known.clear();
  known.set(reference, decoded);
  return decoded;
}
