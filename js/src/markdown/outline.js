/**
 * Walks the blocks of a text once: tells every list, item, quote and table what it is (`token.meta.open`), and every place
 * a piece may begin at, in the order of the text.
 */

/** @typedef {import("./open.js").Placed} Placed */
/** @typedef {import("./parser.js").Beginning} Beginning */
/** @typedef {any} Token */
/**
 * @typedef {object} Walker is told
 * @property {(line: number, path: Placed[], afterDefinition: boolean, token: Token) => void} block a block begins at the start of a line
 * @property {(token: Token, path: Placed[], entered: boolean) => void} leaf a block whose inside may be cut: fence, paragraph, heading, code
 */

/** @type {Record<string, Placed["type"]>} */
const CONTAINERS = { bullet_list: "list", ordered_list: "list", list_item: "item", blockquote: "quote", table: "table" };
/** @type {Record<string, Placed["type"]>} */
const LEAVES = { fence: "fence", paragraph_open: "paragraph", heading_open: "paragraph", code_block: "code" };

/** @typedef {Placed & {token: Token, count: number, before: [number, number] | null}} Standing */

/**
 * @param {Token[]} tokens blocks, those of the prefix too
 * @param {string} text that they were made of, its line ends are "\n"
 * @param {Beginning} beginning its first open things are the first that the tokens open
 * @param {Walker} [walker]
 */
export function outline(tokens, text, { prefix, enters }, walker) {
  const lines = text.split("\n");
  const firstLine = prefix.split("\n").length - 1;
  /** @type {Standing[]} */
  const path = [];
  let entered = 0;
  /** @type {Token | null} */
  let definition = null;
  for (const [at, token] of tokens.entries()) {
    const name = token.type.replace(/_(?:open|close)$/, "");
    const container = CONTAINERS[name];
    if (token.nesting < 0) {
      if (container) path.pop();
      continue;
    }
    if (!token.map || token.type === "inline") continue;
    if (token.type === "hr" && token.map[0] < firstLine) {
      countChild(path.at(-1), token, path, lines);
      continue;
    }
    if (/^(?:thead|tbody|tr|th|td)_/.test(token.type)) {
      if (token.type === "tr_open") walker?.block(token.map[0], path, false, token);
      continue;
    }
    countChild(path.at(-1), token, path, lines);
    const leaf = token.markup[0] === "#" ? undefined : LEAVES[token.type];
    const known = (container || leaf) && entered < enters.length ? enters[entered++] : undefined;
    const behind = definition?.map[1] === token.map[0];
    // Only now an underline makes a heading of a paragraph whose beginning is a piece already: it stays a paragraph.
    if (known && token.type === "heading_open") {
      for (const [one, type] of [[token, "paragraph_open"], [tokens[at + 2], "paragraph_close"]]) Object.assign(one, { type, tag: "p" });
    }
    if (!known) walker?.block(token.map[0], path, behind, token);
    definition = token.type === "reference_definition" ? token : null;
    if (leaf) walker?.leaf(token, path, known !== undefined);
    if (!container) continue;
    const open = /** @type {Standing} */ ({ ...known, type: container, line: token.map[0], token, count: 0, before: null });
    if (container === "list") {
      open.look = known?.look ?? { loose: false };
      open.number = known?.number ?? Number(token.attrGet("start") ?? 1);
    }
    const list = path.at(-1);
    if (container === "item" && list?.number !== undefined) list.number++;
    token.meta = { ...token.meta, open, start: open.number };
    path.push(open);
  }
}

/**
 * A list is loose when a blank line stands between two items or between two blocks of one item. markdown-it finds the
 * same, but tells it only of paragraphs, and a piece may have none.
 * @param {Standing | undefined} parent
 * @param {Token} token
 * @param {Standing[]} path
 * @param {string[]} lines
 */
function countChild(parent, token, path, lines) {
  if (!parent) return;
  parent.count++;
  const list = parent.type === "item" ? path.at(-2) : parent;
  if (!list?.look) return;
  const blank = () => isBlank(lines[token.map[0] - 1] ?? "x", path.filter((open) => open.type === "quote").length);
  const { before } = parent;
  if (parent.type === "item" ? parent.count > 1 && blank() : before && before[1] - before[0] > 1 && blank()) list.look.loose = true;
  if (parent.type === "list") parent.before = token.map;
}

/**
 * @param {string} line
 * @param {number} quotes that it stands in
 */
function isBlank(line, quotes) {
  let rest = line.trimStart();
  for (let i = 0; i < quotes && rest.startsWith(">"); i++) rest = rest.slice(1).trimStart();
  return rest === "";
}
