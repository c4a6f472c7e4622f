/**
 * Where Markdown that streams can be broken by a line of ours without harm to what follows: not inside a code fence, a
 * block of mathematics or a table, which their second half would no longer be.
 */

/** Nothing that is looked for in a line stands further back. */
const LINE_UNITS = 200;

export class Breaks {
  #line = "";
  #fence = "";
  #math = false;
  #inTable = false;

  /** Whether the text may be broken where it ends now. */
  get safe() {
    return !this.#fence && !this.#math && !this.#inTable && !isRow(this.#line) && !/^ {0,3}(`{3}|~{3}|\$\$)/.test(this.#line);
  }

  /** Whether the text is one block of code up to where it ends now, and further. */
  get inFence() {
    return this.#fenceBehind(this.#line) !== "";
  }

  /**
   * Go on behind more text, or only to the first place in it where a line begins that the text may be broken at.
   * @param {string} text
   * @param {boolean} [untilSafe]
   * @returns {number} how much of it was read
   */
  read(text, untilSafe = false) {
    let at = 0;
    for (;;) {
      const behind = text.indexOf("\n", at) + 1;
      this.#line = (this.#line + text.slice(at, behind || undefined)).slice(0, LINE_UNITS);
      if (behind === 0) return text.length;
      this.#endLine(this.#line.trimEnd());
      this.#line = "";
      at = behind;
      if (untilSafe && this.safe) return at;
    }
  }

  /** @param {string} line */
  #endLine(line) {
    const before = this.#fence;
    this.#fence = this.#fenceBehind(line);
    if (!before && !this.#fence && line.trim() === "$$") this.#math = !this.#math;
    this.#inTable = !this.#fence && isRow(line);
  }

  /** @param {string} line */
  #fenceBehind(line) {
    const [, marks = "", info = ""] = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line) ?? [];
    if (this.#fence) return marks.startsWith(this.#fence) && !info.trim() ? "" : this.#fence;
    return marks[0] === "`" && info.includes("`") ? "" : marks;
  }
}

/** @param {string} line */
const isRow = (line) => /^ {0,3}\|/.test(line);
