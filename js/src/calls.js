/** The tool calls of one agent, and which of them a piece belongs to. */

import { ToolCall } from "./tools.js";

/** @typedef {import("./records.js").Part} Part */

export class Calls {
  /** Those that may change yet. @type {Set<ToolCall>} */
  open = new Set();
  /** @type {Map<unknown, ToolCall>} the newest of each index */
  #byIndex = new Map();
  /** @type {Map<string, ToolCall>} */
  #byId = new Map();

  /**
   * The call that a piece goes on; undefined when it begins another one.
   * @param {Part} part
   */
  goneOnBy({ index, id }) {
    const call = this.#byIndex.get(index);
    // The next turn of an agent counts its calls from 0 again.
    const another = call && (call.answered || (id && call.id && id !== call.id));
    return another ? undefined : call;
  }

  /**
   * The call that a result is of; without an id that is the last one that has none yet.
   * @param {Part} part
   */
  answeredBy({ id }) {
    if (typeof id === "string") return this.#byId.get(id);
    return [...this.open].filter((call) => !call.answered).at(-1);
  }

  /**
   * @param {Part} part its first piece, or a result that has no call
   * @returns {ToolCall}
   */
  add(part) {
    const call = new ToolCall();
    if (part.kind === "tool_call") this.#byIndex.set(part.index, call);
    return call;
  }

  /**
   * @param {ToolCall} call
   * @param {Part} part of it
   */
  take(call, part) {
    if (typeof part.id === "string") this.#byId.set(part.id, call);
    this.open.add(call);
    if (part.kind === "tool_call") call.call(part);
    else call.result(part);
  }

  /** @param {number} count so many stay */
  takeBack(count) {
    for (const [index, call] of this.#byIndex) {
      if (Number(index) < count) continue;
      this.#byIndex.delete(index);
      this.open.delete(call);
      if (this.#byId.get(call.id) === call) this.#byId.delete(call.id);
      call.el.remove();
    }
  }

  /** What came is whole: something else follows, or nothing. */
  end() {
    for (const call of this.open) call.end();
  }

  /** @param {string} state of the agent */
  paint(state) {
    for (const call of this.open) {
      call.paint(state);
      if (call.answered) this.open.delete(call);
    }
  }
}
