/** Which runs of `*`, `_` and `~` belong together. */

/** @typedef {import("./inline.js").Inline} Inline */
/** @typedef {import("./inline.js").Styled} Styled */
/**
 * A run of `*`, `_` or `~` that may open or close.
 * @typedef {{at: number, char: string, length: number, run: number, opens: boolean, closes: boolean}} Run
 */

/** Deeper emphasis is not meant; the bound keeps the search for a partner short and the tree flat enough to walk. */
const MOST_OPEN = 64;

/**
 * Pair the runs of emphasis by the rules of CommonMark ("process emphasis"), and join neighbouring text.
 * @param {(Inline | Run)[]} flat
 * @returns {Inline[]}
 */
export function pair(flat) {
  /** @type {{run: Run, children: Inline[]}[]} open runs, each with what follows it */
  const stack = [];
  /** @type {Inline[]} */
  const root = [];
  /** @type {Map<string, number>} open runs of a kind, so that a closer without partner costs nothing */
  const openCount = new Map();
  const target = () => stack.at(-1)?.children ?? root;
  const drop = () => {
    const open = /** @type {{run: Run, children: Inline[]}} */ (stack.pop());
    openCount.set(open.run.char, (openCount.get(open.run.char) ?? 1) - 1);
    return open;
  };

  for (const item of flat) {
    if ("type" in item) {
      add(target(), item);
      continue;
    }
    const run = { ...item };
    while (run.closes && run.length > 0 && (openCount.get(run.char) ?? 0) > 0) {
      let at = stack.length - 1;
      while (at >= 0 && !fits(/** @type {{run: Run}} */ (stack[at]).run, run)) at--;
      if (at < 0) break;
      while (stack.length - 1 > at) unpair(drop(), target());
      const open = drop();
      const size = run.char === "~" || (open.run.length > 1 && run.length > 1) ? 2 : 1;
      const type = run.char === "~" ? "del" : size === 2 ? "strong" : "em";
      /** @type {Styled} */
      const styled = { type, children: open.children };
      open.run.length -= size;
      run.length -= size;
      if (open.run.length > 0) {
        stack.push({ run: open.run, children: [] });
        openCount.set(run.char, (openCount.get(run.char) ?? 0) + 1);
      }
      target().push(styled);
    }
    if (run.length === 0) continue;
    if (run.opens && stack.length < MOST_OPEN) {
      stack.push({ run, children: [] });
      openCount.set(run.char, (openCount.get(run.char) ?? 0) + 1);
    } else add(target(), { type: "text", text: run.char.repeat(run.length) });
  }
  while (stack.length > 0) unpair(drop(), target());
  return root;
}

/**
 * The "rule of three": `**a*b**` must not pair a run that both opens and closes with an odd one.
 * @param {Run} open
 * @param {Run} close
 */
function fits(open, close) {
  if (open.char !== close.char) return false;
  if (!(open.closes || close.opens)) return true;
  return (open.run + close.run) % 3 !== 0 || (open.run % 3 === 0 && close.run % 3 === 0);
}

/**
 * A run without partner is the characters it was written with.
 * @param {{run: Run, children: Inline[]}} open
 * @param {Inline[]} into
 */
function unpair(open, into) {
  add(into, { type: "text", text: open.run.char.repeat(open.run.length) });
  for (const child of open.children) add(into, child);
}

/**
 * @param {Inline[]} into
 * @param {Inline} node
 */
function add(into, node) {
  const last = into.at(-1);
  if (node.type === "text" && last?.type === "text") into[into.length - 1] = { type: "text", text: last.text + node.text };
  else into.push(node);
}
