/** Something that stands folded in the answer: what it is and the facts about it in one line, the rest behind it. */

/** A name is a word, not a text: a model or a server may send anything. */
const NAME_UNITS = 120;

export class Folded {
  el = document.createElement("details");
  #title = document.createElement("span");
  #name = document.createElement("code");
  #facts = document.createElement("span");

  /**
   * @param {string} className
   * @param {string} title what it is
   */
  constructor(className, title) {
    this.el.className = `nbstream-folded ${className}`;
    this.#title.textContent = title;
    this.#name.className = "nbstream-name";
    this.#name.hidden = true;
    this.#facts.className = "nbstream-facts";
    const summary = document.createElement("summary");
    summary.append(this.#title, " ", this.#name, " ", this.#facts);
    this.el.append(summary);
  }

  set title(/** @type {string} */ title) {
    this.#title.textContent = title;
  }

  set name(/** @type {string} */ name) {
    this.#name.textContent = name.length > NAME_UNITS ? `${name.slice(0, NAME_UNITS)}…` : name;
    this.#name.hidden = !name;
  }

  set facts(/** @type {string} */ facts) {
    if (this.#facts.textContent !== facts) this.#facts.textContent = facts;
  }
}
