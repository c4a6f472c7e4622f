/**
 * What this view holds of a stream, and what a page from the kernel adds to it.
 *
 * A page is applied by its offsets, never by its arrival: pages may come twice, late, or overlap (an answer to `ask`
 * crosses a live page), and the result is the same. docs/protocol.md, section 2, is the contract.
 */

/** @typedef {{kind: string, agent: string, sequence?: number, off?: number, text?: string, [field: string]: unknown}} Part */
/**
 * What is new of a part.
 * @typedef {object} Write
 * @property {string} agent
 * @property {string} kind
 * @property {string} text "" for kinds that carry none
 * @property {Part} part the whole part as it came, for what else it carries
 * @property {number} [taken] code points that a `truncate` takes back
 */
/**
 * @typedef {object} Page
 * @property {"page"} type
 * @property {string} stream
 * @property {number} after
 * @property {number} upto
 * @property {number} [tail] the log's last record; only an answer to `ask` has it
 * @property {Part[]} parts
 * @property {Partial<import("./state.js").KernelState>} state what is new of the state
 */
/**
 * What to do with a page: `fresh` = another stream than the one shown, begin anew; `hole` = ask after `have`.
 * @typedef {{fresh: boolean, hole: boolean, writes: Write[]}} Outcome
 */

const TEXT_KINDS = new Set(["text", "reasoning", "refusal"]);

/**
 * Length in Unicode code points, as Python counts.
 * @param {string} text
 */
export function codePoints(text) {
  let count = text.length;
  for (let i = 0; i < text.length - 1; i++) {
    if (isHigh(text.charCodeAt(i)) && isLow(text.charCodeAt(i + 1))) {
      count--;
      i++;
    }
  }
  return count;
}

/**
 * The index in UTF-16 units behind the first `count` code points.
 * @param {string} text
 * @param {number} count
 */
export function indexBehind(text, count) {
  let at = 0;
  while (count > 0 && at < text.length) {
    at += isHigh(text.charCodeAt(at)) && isLow(text.charCodeAt(at + 1)) ? 2 : 1;
    count--;
  }
  return at;
}

/**
 * Cut so that no surrogate pair is torn: at most `units` (2 or more) UTF-16 units, one less where a character begins there.
 * @param {string} text
 * @param {number} units
 * @returns {[string, string]}
 */
export function cutWhole(text, units) {
  if (text.length <= units) return [text, ""];
  const at = isHigh(text.charCodeAt(units - 1)) && isLow(text.charCodeAt(units)) ? units - 1 : units;
  return [text.slice(0, at), text.slice(at)];
}

/** @param {number} unit */
const isHigh = (unit) => unit >= 0xd800 && unit <= 0xdbff;
/** @param {number} unit */
const isLow = (unit) => unit >= 0xdc00 && unit <= 0xdfff;

export class Records {
  /** The stream shown; empty before the first page. */
  stream = "";
  /** The last record held; -1 holds nothing. */
  have = -1;
  /** The last record of the log that can be read, as far as the kernel has said. */
  tail = -1;
  /** Code points held, all agents and text kinds. */
  chars = 0;
  /** @type {Map<string, number>} code points per agent and kind */
  #lengths = new Map();
  /** @type {Map<string, number>} agent -> sequence of the last part without text that is held */
  #marks = new Map();

  /**
   * @param {Page} page
   * @returns {Outcome}
   */
  apply(page) {
    const fresh = page.stream !== this.stream;
    if (fresh) {
      this.stream = page.stream;
      this.have = -1;
      this.tail = -1;
      this.chars = 0;
      this.#lengths.clear();
      this.#marks.clear();
    }
    // An answer knows where readers end, which may be before the log does: a record is damaged, the stream deleted.
    const tail = page.tail ?? Math.max(this.tail, page.state.offset ?? -1);
    this.tail = Math.max(page.upto, tail);
    if (page.after > this.have) return { fresh, hole: true, writes: [] };
    if (page.upto <= this.have) return { fresh, hole: false, writes: [] };

    const lengths = new Map(this.#lengths);
    const marks = new Map(this.#marks);
    /** @type {Write[]} */
    const writes = [];
    let added = 0;
    const known = this.#known(page.parts);
    for (const [i, part] of page.parts.entries()) {
      const { agent, kind } = part;
      if (i <= (known.get(agent) ?? -1)) continue;
      if (!TEXT_KINDS.has(kind)) {
        // What has no number can be told from what is held only where the page joins on.
        if (!part.sequence && page.after < this.have) continue;
        if (part.sequence) marks.set(agent, part.sequence);
        const taken = kind === "truncate" ? takeBack(lengths, part) : 0;
        added -= taken;
        writes.push({ agent, kind, text: "", part, ...(kind === "truncate" ? { taken } : {}) });
        continue;
      }
      const lane = `${kind} ${agent}`;
      const length = lengths.get(lane) ?? 0;
      const off = part.off ?? length;
      // Text that does not join on is missing text, whatever the record numbers say: never show it.
      if (off > length) return { fresh, hole: true, writes: [] };
      const whole = part.text ?? "";
      const text = off < length ? whole.slice(indexBehind(whole, length - off)) : whole;
      if (!text) continue;
      const count = codePoints(text);
      lengths.set(lane, length + count);
      added += count;
      writes.push({ agent, kind, text, part });
    }
    this.#lengths = lengths;
    this.#marks = marks;
    this.chars += added;
    this.have = page.upto;
    return { fresh, hole: false, writes };
  }

  /**
   * Agent -> index of its last part in a page that is held already, where a part without text tells.
   *
   * The numbers of parts with text tell nothing: joined ones have the number of their first piece. But no part is joined
   * across one without text. So up to the last of those that is held, everything of this agent is, also text that was
   * taken back since (its `off` would now seem new); behind it text only grew, and `off` tells.
   * @param {Part[]} parts
   */
  #known(parts) {
    /** @type {Map<string, number>} */
    const known = new Map();
    for (const [i, { agent, kind, sequence }] of parts.entries()) {
      if (!TEXT_KINDS.has(kind) && sequence && sequence <= (this.#marks.get(agent) ?? 0)) known.set(agent, i);
    }
    return known;
  }
}

/**
 * @param {Map<string, number>} lengths cut as the part says
 * @param {Part} part `length` code points of this agent's text, or of the kind it names in `of`, stay
 * @returns {number} code points taken back
 */
function takeBack(lengths, part) {
  const lane = `${part.of ?? "text"} ${part.agent}`;
  const length = lengths.get(lane) ?? 0;
  const stays = Math.max(0, Math.min(length, Number(part.length ?? length)));
  lengths.set(lane, stays);
  return length - stays;
}
