/** Questions to the kernel about text that the page does not keep: ranges of it, and where something is found. */

import { codePoints } from "./records.js";

/** @typedef {{agent: string, kind: string, at: number}} Place a code point of the message */

/** A kernel that says nothing for so long does not answer; the page asks again when the text is needed again. */
const ANSWER_MS = 15_000;

/** The types of answers, where they are not `text`. @type {Record<string, string>} */
const ANSWERS = { find: "found", picture: "picture" };

export class Reads {
  #send;
  #stream = "";
  #id = 0;
  /** The newest search. */
  #finding = 0;
  /** @type {Map<number, {wanted: string, answered: (message: any) => void, failed: (why: Error) => void, timer: ReturnType<typeof setTimeout>}>} */
  #open = new Map();

  /**
   * @param {(question: {type: string, id: number, stream: string, [field: string]: unknown}) => boolean} send
   *   returns false when it cannot be sent
   * @param {AbortSignal} signal
   */
  constructor(send, signal) {
    this.#send = send;
    signal.addEventListener("abort", () => this.begin(""));
  }

  /**
   * Another stream is shown: what is open is about the old one and fails.
   * @param {string} stream
   */
  begin(stream) {
    this.#stream = stream;
    for (const id of [...this.#open.keys()]) this.#close(id)?.failed(new Error("another answer is shown"));
  }

  /**
   * Take an answer.
   * @param {{type: string, id?: unknown, stream?: unknown}} message
   */
  receive({ type, id, stream, ...answer }) {
    const asked = Number(id);
    if (stream === this.#stream && type === this.#open.get(asked)?.wanted) this.#close(asked)?.answered(answer);
  }

  /**
   * The text between two code points. Rejects when it cannot be read.
   * @param {string} agent
   * @param {string} kind
   * @param {number} from
   * @param {number} to
   * @param {{signal?: AbortSignal | undefined, onRead?: ((units: number) => void) | undefined}} [options]
   * @returns {Promise<string>}
   */
  async text(agent, kind, from, to, { signal, onRead } = {}) {
    const pieces = [];
    while (from < to) {
      signal?.throwIfAborted();
      const { text, reason } = await this.#ask({ type: "read", agent, kind, from, to });
      if (!text) throw new Error(reason ?? "the text cannot be read");
      pieces.push(text);
      from += codePoints(text);
      onRead?.(text.length);
    }
    return pieces.join("");
  }

  /**
   * Where `text` stands next behind a place (before it, if `back`), or null.
   * @param {string} text
   * @param {Place | null} after
   * @param {boolean} back
   * @returns {Promise<Place | null>}
   */
  async find(text, after, back) {
    const { at, reason } = await this.#ask({ type: "find", text, after, back });
    if (reason) throw new Error(reason);
    return at;
  }

  /**
   * What happened to the stream, see pictures.js.
   * @param {string} what
   */
  picture(what) {
    return this.#ask({ type: "picture", what });
  }

  /** @param {{type: string, [field: string]: unknown}} question */
  #ask(question) {
    const id = ++this.#id;
    // The kernel answers only the newest search.
    if (question.type === "find") this.#close(this.#finding)?.failed(new Error("another search began"));
    if (question.type === "find") this.#finding = id;
    return new Promise((answered, failed) => {
      const timer = setTimeout(() => this.#close(id)?.failed(new Error("the kernel does not answer")), ANSWER_MS);
      this.#open.set(id, { wanted: ANSWERS[question.type] ?? "text", answered, failed, timer });
      if (!this.#send({ ...question, id, stream: this.#stream })) this.#close(id)?.failed(new Error("the kernel is gone"));
    });
  }

  /** @param {number} id */
  #close(id) {
    const open = this.#open.get(id);
    clearTimeout(open?.timer);
    this.#open.delete(id);
    return open;
  }
}
