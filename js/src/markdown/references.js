/** Link definitions of a document, and who still waits for one: `[text][label]` may stand far before `[label]: address`. */

/** @typedef {import("./markdown.js").Piece} Piece */
/** @typedef {{href: string, title: string}} Definition */

export class References {
  /** @type {Map<string, Definition>} of what is final; the first of a label counts */
  #defined = new Map();
  /** @type {Map<string, Definition>} of the open end, when the text is over as far as anybody knows */
  #atEnd = new Map();
  /** Who defined what, in the order of the text. @type {{label: string, piece: Piece}[]} */
  #definers = [];
  /** @type {Map<string, Piece[]>} in the order of the text, pieces made while a label had no definition */
  #waiting = new Map();
  /** @type {Set<string>} labels that mean something else since `takeChanged` */
  #changed = new Set();

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
        this.#defined.set(label, definition);
        if (piece) this.#definers.push({ label, piece });
        this.#changed.add(label);
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
    for (const label of new Set([...this.#atEnd.keys(), ...definitions.keys()])) {
      const [before, now] = [this.#atEnd.get(label), definitions.get(label)];
      if (before?.href !== now?.href || before?.title !== now?.title) this.#changed.add(label);
    }
    this.#atEnd = definitions;
  }

  /**
   * @param {Piece} piece
   * @param {Iterable<string>} missing
   */
  wait(piece, missing) {
    for (const label of missing) {
      const pieces = this.#waiting.get(label);
      if (pieces) pieces.push(piece);
      else this.#waiting.set(label, [piece]);
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
      this.#defined.delete(last.label);
      this.#changed.add(last.label);
    }
    for (const [label, pieces] of this.#waiting) {
      for (let last = pieces.at(-1); last && gone.has(last); last = pieces.at(-1)) pieces.pop();
      if (pieces.length === 0) this.#waiting.delete(label);
    }
  }

  /** The pieces that look otherwise since they were made. @returns {Set<Piece>} */
  takeChanged() {
    /** @type {Set<Piece>} */
    const pieces = new Set();
    for (const label of this.#changed) for (const piece of this.#waiting.get(label) ?? []) pieces.add(piece);
    this.#changed.clear();
    return pieces;
  }
}

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
