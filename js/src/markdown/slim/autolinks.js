/**
 * Bare addresses in a text, in place of the package `linkify-it`: what GitHub links (`https://`, `http://`, `www.`, mail
 * addresses) and no more. `main.py` is a file here, not a host in Paraguay.
 */

/** @typedef {{schema: string, index: number, lastIndex: number, text: string, url: string}} Match */

// A full stop of another script ends an address too: 见https://x.test。
const ADDRESS = /(?<![\p{L}\p{N}_.\/@-])(?:(?:https?:\/\/|www\.)[^\s<`。，；：、！？）】》」』“”]+|[a-z0-9][a-z0-9.+_-]{0,63}@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+(?![a-z0-9_@-]))/giu;
const HOST = /^(?:https?:\/\/)?(?:[\p{L}\p{N}_-]+\.)*[\p{L}\p{N}-]+(?:[:\/?#]|$)/iu;

/** Longer than any address people mean. */
const MOST = 2_048;

export class LinkifyIt {
  /** @param {string} text */
  test(text) {
    return /:\/\/|www\.|@/i.test(text);
  }

  /**
   * @param {string} text
   * @returns {Match[]}
   */
  match(text) {
    const matches = [];
    for (const found of text.matchAll(ADDRESS)) {
      const match = address(found[0], found.index);
      if (match) matches.push(match);
    }
    return matches;
  }

  /**
   * @param {string} text
   * @returns {Match | null}
   */
  matchAtStart(text) {
    const found = /^https?:\/\/[^\s<`。，；：、！？）】》」』“”]+/i.exec(text.slice(0, MOST));
    return found && address(found[0], 0);
  }
}

/**
 * @param {string} written
 * @param {number} index
 * @returns {Match | null}
 */
function address(written, index) {
  const text = trimmed(written.slice(0, MOST));
  const lastIndex = index + text.length;
  if (/^https?:/i.test(text)) return HOST.test(text) ? { schema: text.slice(0, text.indexOf(":") + 1), index, lastIndex, text, url: text } : null;
  if (/^www\./i.test(text)) return HOST.test(text) && text.length > 4 ? { schema: "", index, lastIndex, text, url: `http://${text}` } : null;
  return { schema: "mailto:", index, lastIndex, text, url: `mailto:${text}` };
}

/**
 * Punctuation behind an address belongs to the sentence, a bracket only when it was opened outside.
 * @param {string} text
 */
function trimmed(text) {
  let open = 0;
  for (const char of text) open += char === "(" ? 1 : char === ")" ? -1 : 0;
  let end = text.length;
  for (;;) {
    const last = text.charAt(end - 1);
    if (last === ")" && open < 0) open++;
    else if (last === ";") {
      const reference = /&[a-z0-9]{1,32};$/i.exec(text.slice(Math.max(0, end - 34), end));
      end -= (reference?.[0].length ?? 1) - 1;
    } else if (!last || !"?!.,:*_~'\"]}".includes(last)) return text.slice(0, end);
    end--;
  }
}
