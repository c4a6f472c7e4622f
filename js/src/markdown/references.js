/** Link definitions of a document, and who still waits for one: `[text][label]` may stand far before `[label]: address`. */

/** @typedef {import("./markdown.js").Piece} Piece */
/** @typedef {{href: string, title: string}} Definition */

/** So many wait before it is looked whether their pieces are still there. */
const LEAST_SWEPT = 4_096;

export class References {
  /** @type {Map<string, Definition>} of what is final; the first of a label counts */
  #defined = new Map();
  /** @type {Map<string, Definition>} of the open end, when the text is over as far as anybody knows */
  #atEnd = new Map();
  /** Who defined what, in the order of the text. @type {{label: string, piece: Piece}[]} */
  #definers = [];
  /** @type {Map<string, Piece[]>} pieces made while a label had no definition */
  #waiting = new Map();
  #waits = 0;
  #most = LEAST_SWEPT;
  /** Labels that may mean something else since `takeChanged`, and what they meant. @type {Map<string, Definition | undefined>} */
  #changed = new Map();
  /** Pieces made since then without what a label meant, and may mean again. @type {Set<Piece>} */
  #without = new Set();

  /**
   * What markdown-it looks labels up in, and defines them in, while it parses a finished piece.
   * @param {Piece} [piece] that is new, none when one is made again
   * @param {Set<string>} [missing] takes the labels that had no definition
   */
  forPiece(piece, missing) {
    return lookup(
      (label) => {
        const definition = this.#defined.get(label);
        if (definition) return definition;
        if (label) missing?.add(label); // "[ ]" is a box, not a link
        return this.#atEnd.get(label);
      },
      (label, definition) => {
        this.#touch(label);
        this.#defined.set(label, definition);
        if (piece) this.#definers.push({ label, piece });
        missing?.delete(label);
      },
    );
  }

  /**
   * The same for the open end, whose definitions are not final.
   * @param {Map<string, Definition>} own takes them
   */
  forTail(own) {
    return lookup(
      (label) => this.#defined.get(label) ?? own.get(label),
      (label, definition) => own.set(label, definition),
    );
  }

  /**
   * The text is over: what its open end defines counts for the pieces too.
   * @param {Map<string, Definition>} definitions
   */
  end(definitions) {
    for (const label of [...this.#atEnd.keys(), ...definitions.keys()]) this.#touch(label);
    this.#atEnd = definitions;
  }

  /**
   * It was not over. What its open end defined counts further while that says the same.
   * @param {Map<string, Definition>} definitions
   */
  goOn(definitions) {
    this.end(new Map([...definitions].filter(([label, definition]) => same(this.#changed.get(label), definition))));
  }

  /**
   * @param {Piece} piece that is being made
   * @param {Iterable<string>} missing
   */
  wait(piece, missing) {
    if (this.#waits > this.#most) this.#sweep();
    for (const label of missing) {
      this.#waits++;
      const pieces = this.#waiting.get(label);
      if (pieces) pieces.push(piece);
      else this.#waiting.set(label, [piece]);
      if (this.#changed.has(label)) this.#without.add(piece);
    }
  }

  /**
   * The last pieces are gone, and with them what they defined.
   * @param {Set<Piece>} gone
   */
  takeBack(gone) {
    this.end(new Map());
    for (let last = this.#definers.at(-1); last && gone.has(last.piece); last = this.#definers.at(-1)) {
      this.#definers.pop();
      this.#touch(last.label);
      this.#defined.delete(last.label);
    }
  }

  /** What is left out or gone is made anew when it comes back, and waits again then. */
  #sweep() {
    this.#waits = 0;
    for (const [label, pieces] of this.#waiting) {
      const here = [...new Set(pieces)].filter(({ el }) => el);
      if (here.length > 0) this.#waiting.set(label, here);
      else this.#waiting.delete(label);
      this.#waits += here.length;
    }
    this.#most = Math.max(LEAST_SWEPT, 2 * this.#waits);
  }

  /** The pieces that look otherwise since they were made. @returns {Set<Piece>} */
  takeChanged() {
    const pieces = this.#without;
    this.#without = new Set();
    for (const [label, before] of this.#changed) {
      if (!same(before, this.#meaning(label))) for (const piece of this.#waiting.get(label) ?? []) pieces.add(piece);
    }
    this.#changed.clear();
    return pieces;
  }

  /** @param {string} label */
  #meaning(label) {
    return this.#defined.get(label) ?? this.#atEnd.get(label);
  }

  /** @param {string} label that will mean something else */
  #touch(label) {
    if (!this.#changed.has(label)) this.#changed.set(label, this.#meaning(label));
  }
}

/**
 * @param {Definition | undefined} one
 * @param {Definition | undefined} other
 */
const same = (one, other) => one?.href === other?.href && one?.title === other?.title;

/**
 * @param {(label: string) => Definition | undefined} get
 * @param {(label: string, definition: Definition) => void} set
 */
function lookup(get, set) {
  return new Proxy(Object.create(null), {
    get: (_, label) => (typeof label === "string" ? get(label) : undefined),
    set: (_, label, definition) => {
      if (typeof label === "string") set(label, definition);
      return true;
    },
  });
}
