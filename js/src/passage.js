/** Running text of one kind of one agent, without a break: between two tool calls, behind a seam. */

import { Body } from "./body.js";
import { Breaks } from "./breaks.js";
import { codePoints } from "./records.js";

export class Passage {
  /** Where a line of ours may stand in it. */
  breaks = new Breaks();
  /** Code points. */
  length = 0;
  /** It goes on where the text before it ended; else it begins anew. */
  goesOn = false;
  #body;

  /**
   * @param {"text" | "reasoning" | "refusal"} kind
   * @param {string} agent
   * @param {number} from code points of this agent and kind before it
   * @param {object} [options] for its body
   */
  constructor(kind, agent, from, options) {
    this.kind = kind;
    this.from = from;
    const text = document.createElement("div");
    text.className = "jp-RenderedHTMLCommon";
    if (kind === "text") text.classList.add("nbstream-text");
    /** What stands in the answer. @type {HTMLElement} */
    this.el = text;
    this.#body = new Body(text, { ...options, agent, kind, from });
  }

  /**
   * The Markdown as it came.
   * @param {object} [reading] of text that has to be read again, see its body
   * @returns {Promise<string>}
   */
  source(reading) {
    return this.#body.source(reading);
  }

  /** @param {string} text */
  write(text) {
    this.length += codePoints(text);
    this.#body.write(text);
  }

  /** @param {number} length code points that stay */
  truncate(length) {
    this.length = length;
    this.#body.truncate(length);
    this.breaks = new Breaks(); // as if it stood outside of everything: to know better it would have to be read again
  }

  /** @returns {boolean} whether it is through; else paint again */
  paint() {
    return this.#body.paint();
  }

  /** Its last line is whole. More may still come, after a resume. */
  end() {
    this.#body.end();
  }
}

/** Why a model would not answer. */
export class Refusal extends Passage {
  /**
   * @param {string} agent
   * @param {number} from
   * @param {object} [options]
   */
  constructor(agent, from, options) {
    super("refusal", agent, from, options);
    const el = document.createElement("div");
    el.className = "nbstream-refusal";
    const label = document.createElement("div");
    label.className = "nbstream-label";
    label.textContent = "Refused";
    el.append(label, this.el);
    this.el = el;
  }
}
