/** Lines of ours in an answer: where it was continued, what is missing, and what is not shown. */

/** @typedef {import("./records.js").Part} Part */

/** So many kinds of what is not shown are named. */
const NAMED = 5;

/**
 * Behind this line the text is a new generation, not the same message.
 * @param {Part} part
 */
export function seam(part) {
  const why = typeof part.why === "string" ? part.why : "";
  return mark("seam", `continued here by a new generation${why && `: ${why}`}`);
}

/**
 * Pieces that the source numbered and never sent.
 * @param {Part} part
 */
export function gap(part) {
  const first = Number(part.expected);
  const last = Number(part.got) - 1;
  if (!(last >= first)) return mark("gap", "missing: some pieces of the text");
  return mark("gap", first === last ? `missing: piece ${first}` : `missing: pieces ${first}-${last}`);
}

/**
 * @param {string} kind
 * @param {string} text
 */
function mark(kind, text) {
  const el = document.createElement("div");
  el.className = `nbstream-mark nbstream-${kind}`;
  el.setAttribute("role", "note");
  el.append(Object.assign(document.createElement("span"), { textContent: text }));
  return el;
}

/** One quiet line below an agent's answer: what came and stands nowhere in it, counted. */
export class Notes {
  el = document.createElement("div");
  /** @type {Map<string, number>} */
  #unknown = new Map();
  #takenBack = 0;

  constructor() {
    this.el.className = "nbstream-notes";
    this.el.hidden = true;
  }

  /** @param {string} kind */
  countUnknown(kind) {
    const name = this.#unknown.has(kind) || this.#unknown.size < NAMED ? kind.slice(0, 80) : "others";
    this.#unknown.set(name, (this.#unknown.get(name) ?? 0) + 1);
  }

  countTakenBack() {
    this.#takenBack++;
  }

  paint() {
    const says = [];
    if (this.#takenBack > 0) says.push(`text was taken back ${times(this.#takenBack)}`);
    if (this.#unknown.size > 0) {
      const kinds = [...this.#unknown].map(([kind, n]) => (n > 1 ? `${kind} (${n})` : kind));
      says.push(`not shown, of unknown kind: ${kinds.join(", ")}`);
    }
    this.el.hidden = says.length === 0;
    const text = says.join(" · ");
    if (this.el.textContent !== text) this.el.textContent = text;
  }
}

/** @param {number} count */
const times = (count) => ["", "once", "twice"][count] ?? `${count.toLocaleString("en-US")} times`;
