/** Reading one line of block Markdown: its columns, its heading, its table cells. */

/** Reads a line by columns; a tab reaches to the next multiple of four. */
export class Cursor {
  #at = 0;
  #column = 0;
  /** columns of a tab that are eaten only in part */
  #owed = 0;

  /** @param {string} line */
  constructor(line) {
    this.line = line;
  }

  get blank() {
    return this.rest === "";
  }

  /** Columns of white space ahead. */
  get indent() {
    let columns = this.#owed;
    let column = this.#column + this.#owed;
    for (let i = this.#at; ; i++) {
      const char = this.line[i];
      const width = char === " " ? 1 : char === "\t" ? 4 - (column % 4) : 0;
      if (width === 0) return columns;
      columns += width;
      column += width;
    }
  }

  /** What follows, without the white space ahead. */
  get rest() {
    let i = this.#at;
    while (this.line[i] === " " || this.line[i] === "\t") i++;
    return this.line.slice(i);
  }

  /** What follows, with the white space ahead. */
  get raw() {
    return " ".repeat(this.#owed) + this.line.slice(this.#at);
  }

  /** @param {number} columns of white space */
  skip(columns) {
    while (columns > 0) {
      if (this.#owed === 0) {
        this.#owed = this.line[this.#at] === "\t" ? 4 - (this.#column % 4) : 1;
        this.#at++;
      }
      const taken = Math.min(columns, this.#owed);
      columns -= taken;
      this.#column += taken;
      this.#owed -= taken;
    }
  }

  /** @param {number} characters */
  eat(characters) {
    this.#at += characters;
    this.#column += characters;
  }

  quote() {
    this.skip(this.indent);
    this.eat(1);
    if (this.indent > 0) this.skip(1);
  }
}

/**
 * Without the closing run of `#`, which needs a space before it.
 * @param {string} written
 */
export function headingText(written) {
  const text = written.trim();
  let end = text.length;
  while (text[end - 1] === "#") end--;
  return end === 0 || /[ \t]/.test(text[end - 1] ?? "") ? text.slice(0, end).trim() : text;
}

/**
 * @param {string} line
 * @param {number} [count] fill or cut to this many cells
 */
export function cells(line, count) {
  const inner = line.trim().replace(/^\|/, "");
  /** @type {string[]} */
  const found = [];
  let cell = "";
  for (let i = 0; i < inner.length; i++) {
    const char = inner[i];
    if (char === "\\" && inner[i + 1] === "|") {
      cell += "|";
      i++;
    } else if (char === "\\") {
      cell += char + (inner[i + 1] ?? "");
      i++;
    } else if (char === "|") {
      found.push(cell.trim());
      cell = "";
    } else cell += char;
  }
  if (cell.trim() || !inner.trimEnd().endsWith("|")) found.push(cell.trim());
  if (count === undefined) return found;
  return Array.from({ length: count }, (_, i) => found[i] ?? "");
}
