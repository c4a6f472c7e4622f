/** A tool call: its name and how it stands in one line; arguments and result folded below. */

import { Folded } from "./folded.js";
import { isLive } from "./state.js";
import { Verbatim } from "./verbatim.js";

/** @typedef {import("./records.js").Part} Part */

export class ToolCall {
  #folded = new Folded("nbstream-tool", "Tool call");
  #args = new Verbatim("Arguments");
  /** @type {Verbatim | null} */
  #result = null;
  #called = false;
  #failed = false;

  constructor() {
    /** What stands in the answer. */
    this.el = this.#folded.el;
    /** The provider's id of it; not shown. */
    this.id = "";
  }

  /** Whether a result has come. */
  get answered() {
    return this.#result !== null;
  }

  /**
   * A piece of the call: its arguments come bit by bit.
   * @param {Part} part
   */
  call(part) {
    if (!this.#called) this.el.append(this.#args.el);
    this.#called = true;
    this.#name(part);
    if (typeof part.args_delta === "string" && part.args_delta) this.#args.write(part.args_delta);
    if (part.final) this.#args.end();
  }

  /** @param {Part} part */
  result(part) {
    this.#name(part);
    if (!this.#called) this.#folded.title = "Tool result";
    if (!this.#result) {
      this.#result = new Verbatim("Result");
      this.el.append(this.#result.el);
    }
    this.#failed ||= part.failed === true;
    const { content } = part;
    if (content !== undefined) this.#result.write(typeof content === "string" ? content : JSON.stringify(content));
    this.end();
  }

  /** What came is whole, as far as anybody knows: something else follows, or nothing. */
  end() {
    this.#args.end();
    this.#result?.end();
  }

  /** @param {string} state of the agent */
  paint(state) {
    this.#args.paint();
    this.#result?.paint();
    const [status, words] = this.#status(state);
    if (this.el.dataset.status !== status) this.el.dataset.status = status;
    this.#folded.facts = words;
  }

  /**
   * @param {string} state of the agent
   * @returns {[string, string]} for CSS, and in words
   */
  #status(state) {
    if (this.#failed) return ["failed", "failed"];
    if (this.answered) return ["done", "done"];
    if (isLive(state)) return ["running", "running ..."];
    // An answer that ends with a call leaves it to the program: it is not ours to say what became of it.
    return state === "complete" ? ["called", "called, no result here"] : ["cut", "no result came"];
  }

  /** @param {Part} part */
  #name({ id, name }) {
    if (typeof id === "string" && id) this.id = id;
    if (typeof name === "string" && name) this.#folded.name = name;
  }
}
