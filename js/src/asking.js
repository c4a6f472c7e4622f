/**
 * What one view says to the kernel, and whether anybody hears it. It asks for the log behind what it holds until it is
 * answered: questions and answers may be lost on the way. docs/protocol.md, section 2, is the contract.
 */

import { device } from "./device.js";
import { Timers } from "./timers.js";
import { randomId } from "./transport.js";

/** A question without an answer is asked again after this, then after twice as long: a blocked kernel answers all it has heard. */
const AGAIN_MS = 2_000;
const LONGEST_MS = 30_000;
/** Holes ask anew when something has come meanwhile, but pages already on their way would each ask again. */
const HOLE_MS = 500;
/** Live pages behind the tail follow by themselves, one a second when no ack reaches the kernel; longer means lost. */
const MORE_MS = 2_000;
/** While text may come the kernel hears of us this often, and answers if we have missed the end: nothing else would. */
const HERE_MS = 30_000;

export class Asking {
  /** @type {import("./state.js").Link} */
  link = "waiting";
  /** The kernel has not answered for a while. */
  slow = false;
  #view = randomId();
  #transport;
  #records;
  #timers;
  #onPage;
  #onOther;
  #onChange;
  #signal;
  /** A question is open: "ask" is the timer that repeats it. */
  #open = false;
  #askedAt = -Infinity;
  /** the record it was asked behind */
  #askedAfter = -1;
  #patienceMs = AGAIN_MS;

  /**
   * @param {import("./transport.js").Transport} transport
   * @param {object} options
   * @param {import("./records.js").Records} options.records what the view holds
   * @param {(page: import("./records.js").Page) => void} options.onPage
   * @param {(message: {type: string, [field: string]: unknown}) => void} options.onOther
   * @param {() => void} options.onChange the link, or the patience with it, is another
   * @param {AbortSignal} signal
   */
  constructor(transport, { records, onPage, onOther, onChange }, signal) {
    this.#transport = transport;
    this.#records = records;
    this.#onPage = onPage;
    this.#onOther = onOther;
    this.#onChange = onChange;
    this.#signal = signal;
    this.#timers = new Timers(signal);
  }

  /** Listen and ask. The kernel may be known to be gone already, and is said to be before this returns. */
  start() {
    const signal = this.#signal;
    // Every view of a widget hears the answers to all, and each numbers its questions from 1.
    const onOther = (/** @type {{type: string, [field: string]: unknown}} */ message) => message.view === this.#view && this.#onOther(message);
    this.#transport.listen({ onPage: this.#onPage, onOther, onLink: (link) => this.#linked(link) }, signal);
    const bye = () => this.send({ type: "bye" });
    signal.addEventListener("abort", bye);
    addEventListener("pagehide", bye, { signal });
    addEventListener("pageshow", (event) => event.persisted && this.ask(), { signal });
    if (this.link === "waiting") this.ask();
  }

  /**
   * @param {import("./transport.js").Request} request
   * @param {() => void} [answered] see Transport
   * @returns {boolean} whether it is on its way
   */
  send(request, answered) {
    return this.#transport.send({ ...request, view: this.#view }, answered) !== "lost";
  }

  /** Ask for what comes behind the record held, until it is answered. */
  ask(againMs = this.#patienceMs) {
    this.#open = true;
    this.#askedAt = performance.now();
    this.#askedAfter = this.#records.have;
    this.#timers.after("ask", againMs, () => {
      this.slow = true;
      this.#onChange();
      this.ask(Math.min(2 * againMs, LONGEST_MS));
    });
    // Last: it may learn that there is nobody to ask.
    this.#transport.ask({ type: "ask", view: this.#view, after: this.#askedAfter, ...heap(), ...device() });
  }

  /**
   * A page has come, and the records have taken it.
   * @param {import("./records.js").Page} page
   * @param {object} facts
   * @param {boolean} facts.fresh it began another stream
   * @param {boolean} facts.hole something is missing before it
   * @param {boolean} facts.live more may come
   * @param {boolean} facts.room for the answer to a question
   */
  heard(page, { fresh, hole, live, room }) {
    this.link = "live";
    this.slow = false;
    if (fresh) this.#askedAfter = -1; // the number was one of the other stream
    if (!hole && this.#answers(page)) this.#settle();
    const { have, tail } = this.#records;
    if (hole && room) this.#askHole();
    else if (!this.#open && (have >= tail || !room)) this.#timers.clear("ask");
    else if (!this.#open && page.tail !== undefined) this.ask();
    else if (!this.#open) this.#timers.after("ask", MORE_MS, () => this.ask());
    this.#stayHeard(live);
  }

  /** There is room for an answer: ask on, where the log is known to go on and nothing has been asked. */
  goOn() {
    if (this.link === "live" && this.#records.have < this.#records.tail && !this.#timers.has("ask")) this.ask();
  }

  /** Say that this view is there, and what it shows. */
  here() {
    const { stream, have } = this.#records;
    return this.send({ type: "here", stream, have, ...heap(), ...device() });
  }

  /**
   * An answer that came twice, or was another view's, tells nothing of what was asked behind it.
   * @param {import("./records.js").Page} page
   */
  #answers({ upto, tail }) {
    return tail !== undefined && (upto > this.#askedAfter || upto >= tail);
  }

  #settle() {
    if (!this.#open) return;
    this.#open = false;
    this.#timers.clear("ask");
    // A megabyte takes seconds on a slow line; asked again before it is here, it would come twice.
    this.#patienceMs = Math.min(LONGEST_MS, Math.max(AGAIN_MS, 2 * (performance.now() - this.#askedAt)));
  }

  #askHole() {
    if (this.#open && this.#askedAfter === this.#records.have) return;
    this.#open = false;
    this.#timers.after("ask", Math.max(0, this.#askedAt + HOLE_MS - performance.now()), () => this.ask());
  }

  /** @param {boolean} live */
  #stayHeard(live) {
    if (!live) return this.#timers.clear("here");
    if (this.#timers.has("here")) return;
    this.#timers.after("here", HERE_MS, () => this.here() && this.#stayHeard(live));
  }

  /** @param {import("./transport.js").Link} link */
  #linked(link) {
    const over = this.link === "gone" || this.link === "shut";
    if (link === "back") {
      if (!over) this.ask();
      return;
    }
    if (!over) this.link = link;
    this.#open = false;
    for (const name of ["ask", "here"]) this.#timers.clear(name);
    this.#onChange();
  }
}

/** Memory of this page's scripts, where the browser tells (Chromium does). @returns {{ heap?: number }} */
function heap() {
  const memory = /** @type {any} */ (performance).memory;
  return memory ? { heap: memory.usedJSHeapSize } : {};
}
