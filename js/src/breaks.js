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
    const [, marks = "", info = ""] = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line) ?? [];
    if (this.#fence) {
      if (marks.startsWith(this.#fence) && !info.trim()) this.#fence = "";
    } else if (marks && !(marks[0] === "`" && info.includes("`"))) {
      this.#fence = marks;
    } else if (line.trim() === "$$") {
      this.#math = !this.#math;
    }
    this.#inTable = !this.#fence && isRow(line);
  }
}

/** @param {string} line */
const isRow = (line) => /^ {0,3}\|/.test(line);
