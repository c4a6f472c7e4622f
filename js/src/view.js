/**
 * One rendered view: pages come in, text is painted at a pace the page can bear, what was painted is acknowledged.
 */

import { copyText } from "./clipboard.js";
import { Controls } from "./controls.js";
import { copySource } from "./copying.js";
import { device, watchDevice } from "./device.js";
import { keepKeys } from "./keys.js";
import { AckPace, PaintPace } from "./pace.js";
import { Reads } from "./reads.js";
import { cutWhole, Records } from "./records.js";
import { isLive, merge, present, presentAgent } from "./state.js";
import { keepStops } from "./stops.js";
import { Timers } from "./timers.js";
import { randomId } from "./transport.js";
import { Viewport } from "./viewport.js";

/** @typedef {import("./records.js").Page} Page */
/** @typedef {import("./records.js").Write} Write */

/** A hole is asked for once until the answer is here: pages already on their way would each ask again. */
const HOLE_MS = 500;
/** On a slow line an answer of a megabyte takes seconds; one that was lost is asked for again after this. */
const HOLE_AGAIN_MS = 5_000;
/** Until the first page comes: ask again, and after a second also on the comm. */
const ASK_AGAIN_MS = 2_000;
const ASK_BY_COMM_MS = 1_000;
/** Live pages behind the tail follow by themselves, one a second when no ack reaches the kernel; longer means lost. */
const MORE_MS = 2_000;
const STOP_MS = 300;
/** While text may come the kernel hears of us this often: a page that crashed is silent, and nobody waits for it. */
const HERE_MS = 30_000;

export class View {
  #records = new Records();
  #paintPace = new PaintPace();
  #ackPace = new AckPace();
  #view = randomId();
  /** @type {import("./state.js").Link} */
  #link = "waiting";
  /** @type {import("./state.js").KernelState | null} */
  #last = null;
  #slow = false;
  #stopUnanswered = false;
  /** @type {Write[]} */
  #queue = [];
  #queued = 0;
  #paintedOffset = -1;
  #ended = false;
  /** @type {Record<string, string> | undefined} how the lanes were shown to stand */
  #paintedAgents;
  #painting = false;
  #holeAskedAt = -Infinity;
  /** the record a hole was asked behind, until its answer is here */
  #holeAskedAfter = NaN;
  /** @type {AbortController | null} ends the copying of a long answer */
  #copying = null;
  #timers;

  /**
   * @param {object} host what the loader hands over
   * @param {import("./transport.js").Transport} host.transport
   * @param {import("./parts.js").Parts} host.parts
   * @param {HTMLElement} el
   * @param {AbortSignal} signal ends everything this view started
   */
  constructor({ transport, parts }, el, signal) {
    this.#timers = new Timers(signal);
    this.root = document.createElement("div");
    this.root.className = "nbstream";
    this.root.setAttribute("role", "article");
    this.root.setAttribute("aria-label", "Streamed answer");
    el.append(this.root);
    this.reads = new Reads((question) => this.transport.send({ ...question, view: this.#view }) !== "lost", signal);
    this.viewport = new Viewport(this.root, signal, {
      reads: this.reads, parts, onAction: (action, agent) => void this.#act(action, agent),
    });
    this.controls = new Controls(this.root, { onAction: (action) => void this.#act(action), signal });
    this.controls.add(this.viewport.orderToggle);
    keepKeys(this.root, signal);
    keepStops(this.root, signal);
    this.transport = transport;
    this.transport.listen(
      {
        onPage: (page) => this.#receive(page),
        onOther: (message) => this.reads.receive(message),
        onLink: (link) => this.#linked(link),
      },
      signal,
    );
    this.root.dataset.stream = transport.stream;
    this.#show();

    signal.addEventListener("abort", () => this.#bye());
    addEventListener("pagehide", () => this.#bye(), { signal });
    addEventListener("pageshow", (event) => event.persisted && this.#ask(), { signal });
    this.root.addEventListener("keydown", (event) => event.key === "Escape" && this.#copying?.abort(), { signal });
    watchDevice(() => this.#deviceChanged(), signal);
    this.#firstAsk();
  }

  /** @param {Page} page */
  #receive(page) {
    const outcome = this.#records.apply(page);
    if (outcome.fresh) this.#begin(page.stream);
    this.#link = "live";
    this.#last = merge(this.#last, page.state);
    if (outcome.fresh) this.viewport.follow(isLive(this.#last.state));
    this.#slow = false;
    if (!isLive(this.#last.state)) this.#answered();
    for (const name of ["ask again", "ask by comm"]) this.#timers.clear(name);
    if (outcome.hole) this.#askHole();
    else if (this.#records.have < this.#records.tail) this.#askMore(page.tail === undefined ? MORE_MS : 0);
    else this.#timers.clear("more");
    for (const write of outcome.writes) {
      this.#queue.push(write);
      this.#queued += write.text.length;
    }
    // A page seen before is acknowledged again: the ack for it may be what got lost.
    if (page.upto > page.after && page.upto <= this.#paintedOffset) {
      this.#ackPace.painted(this.#paintedOffset);
      this.#scheduleAck();
    }
    this.#schedulePaint();
    this.#sayHere();
    this.#show();
  }

  /** @param {string} stream */
  #begin(stream) {
    this.root.dataset.stream = stream;
    this.#last = null;
    this.#copying?.abort();
    this.reads.begin(stream);
    this.viewport.clear();
    this.#queue = [];
    this.#queued = 0;
    this.#paintedOffset = -1;
    this.#paintPace = new PaintPace(device());
    this.#ackPace = new AckPace();
    this.#holeAskedAt = -Infinity;
    this.#holeAskedAfter = NaN;
  }

  #deviceChanged() {
    this.#schedulePaint(true);
    if (this.#last && isLive(this.#last.state)) this.#sayIAmHere();
  }

  // --- asking ---------------------------------------------------------------------------------------------------------

  #firstAsk() {
    this.#ask();
    this.#timers.after("ask again", ASK_AGAIN_MS, () => {
      this.#slow = true;
      this.#show();
      this.#firstAsk();
    });
  }

  #ask() {
    const request = { type: "ask", view: this.#view, after: this.#records.have, ...heap(), ...device() };
    const way = this.transport.send(request, () => this.#timers.clear("ask by comm"));
    if (way === "control") this.#timers.after("ask by comm", ASK_BY_COMM_MS, () => this.transport.sendByComm(request));
  }

  #askHole() {
    // Asked already, and its answer is still on its way: each further ask would make the line slower by a megabyte.
    const pause = this.#holeAskedAfter === this.#records.have ? HOLE_AGAIN_MS : HOLE_MS;
    const wait = Math.max(0, this.#holeAskedAt + pause - performance.now());
    this.#timers.after("hole", wait, () => {
      this.#holeAskedAt = performance.now();
      this.#holeAskedAfter = this.#records.have;
      this.#ask();
    });
  }

  /**
   * The log goes on behind this page. Behind an answer ask on; live pages come by themselves.
   * @param {number} ms
   */
  #askMore(ms) {
    this.#timers.after("more", ms, () => this.#ask());
  }

  /** @param {"cut" | "gone" | "back"} link */
  #linked(link) {
    if (link === "back") {
      if (this.#link !== "gone") this.#ask();
      return;
    }
    if (this.#link !== "gone") this.#link = link;
    for (const name of ["ask again", "ask by comm", "hole", "more", "stop", "here"]) this.#timers.clear(name);
    this.#show();
  }

  #sayHere() {
    if (!this.#last || !isLive(this.#last.state)) return this.#timers.clear("here");
    if (this.#timers.has("here")) return;
    this.#timers.after("here", HERE_MS, () => {
      if (this.#sayIAmHere() !== "lost") this.#sayHere();
    });
  }

  #sayIAmHere() {
    return this.transport.send({ type: "here", view: this.#view, ...heap(), ...device() });
  }

  #bye() {
    this.transport.send({ type: "bye", view: this.#view });
  }

  // --- buttons --------------------------------------------------------------------------------------------------------

  /**
   * @param {import("./state.js").Action} action
   * @param {string | null} [agent] null: the whole
   */
  async #act(action, agent = null) {
    if (action === "copy") return this.#copy(agent);
    if (action === "interrupt") {
      await this.transport.interrupt().catch(() => this.controls.failed("interrupt", "The kernel could not be interrupted."));
      return;
    }
    if (action === "stop" && this.transport.canInterrupt) {
      this.#timers.after("stop", STOP_MS, () => {
        this.#stopUnanswered = true;
        this.#show();
      });
    }
    this.transport.send({ type: action, view: this.#view, agent }, () => this.#answered());
  }

  /**
   * Copy the whole source. Pressed again while a long one is read, or by Escape, it ends.
   * @param {string | null} agent only what this one says
   */
  async #copy(agent) {
    const controls = this.viewport.controls.get(agent ?? "") ?? this.controls;
    if (this.#copying) return this.#copying.abort();
    const { signal } = (this.#copying = new AbortController());
    const chars = Math.max(1, this.viewport.chars);
    let read = 0;
    const onRead = (/** @type {number} */ units) => controls.progress("copy", Math.min(1, (read += units) / chars));
    const source = this.viewport.source({ signal, onRead }, agent);
    const copied = this.viewport.windowed ? await copySource(source) : await copyText(await source);
    this.#copying = null;
    controls.progress("copy", null);
    if (copied) controls.done("copy", "Copied.");
    else if (!signal.aborted) controls.failed("copy", "It could not be copied: not all of it could be read, or the browser did not let it.");
  }

  #answered() {
    this.#timers.clear("stop");
    if (!this.#stopUnanswered) return;
    this.#stopUnanswered = false;
    this.#show();
  }

  // --- painting -------------------------------------------------------------------------------------------------------

  /** @param {boolean} [again] choose anew between frame and timer: the tab was hidden or shown */
  #schedulePaint(again = false) {
    if (this.#painting && !again) return;
    const settled = this.#paintedOffset >= this.#records.have && this.#queue.length === 0;
    // One agent may come to rest without a word of text.
    if (settled && this.#ended === this.#over() && this.#paintedAgents === this.#last?.agents) {
      this.#painting = false;
      return;
    }
    this.#painting = true;
    const wait = this.#paintPace.waitMs(performance.now(), this.#queued, device());
    if (document.hidden) this.#timers.after("paint", wait, () => this.#paint());
    else this.#timers.frameAfter("paint", wait, () => this.#paint());
  }

  #paint() {
    const startedAt = performance.now();
    const pieces = this.#take(this.#paintPace.units);
    for (const piece of pieces) this.viewport.write(piece);
    const drained = this.#queue.length === 0;
    const offset = drained ? this.#records.have : this.#paintedOffset;
    const ends = drained && this.#over();
    if (this.#last) this.viewport.setStates(this.#last.state, this.#last.agents);
    this.#showAgents();
    this.viewport.paint(drained && this.#records.have >= (this.#last?.offset ?? 0));
    this.#ended = ends;
    this.#paintedAgents = this.#last?.agents;
    let written = 0;
    for (const { text } of pieces) written += text.length;
    this.root.dataset.chars = String(this.viewport.chars);
    const stream = this.root.dataset.stream;
    // A message to ourselves comes behind the frame, so the time holds style, layout and paint too.
    this.#timers.behindFrame(() => {
      this.#paintPace.paint(startedAt, performance.now(), written);
      this.#painting = false;
      if (stream === this.root.dataset.stream && offset > this.#paintedOffset) {
        this.#paintedOffset = offset;
        this.root.dataset.offset = String(offset);
        this.#ackPace.painted(offset, written);
        this.#scheduleAck();
      }
      this.#show();
      this.#schedulePaint();
    });
  }

  /**
   * @param {number} units
   * @returns {Write[]}
   */
  #take(units) {
    const taken = [];
    let count = 0;
    while (count < this.#queue.length && units >= 2) {
      const write = /** @type {Write} */ (this.#queue[count]);
      const [now, rest] = cutWhole(write.text, units);
      taken.push({ ...write, text: now });
      units -= now.length;
      this.#queued -= now.length;
      if (rest) {
        this.#queue[count] = { ...write, text: rest };
        break;
      }
      count++;
    }
    this.#queue.splice(0, count);
    return taken;
  }

  /** Whether the text held is all there is, as far as the kernel knows. */
  #over() {
    return this.#last !== null && !isLive(this.#last.state) && this.#records.have >= this.#last.offset;
  }

  #scheduleAck() {
    const wait = this.#ackPace.waitMs(performance.now(), this.#over() || this.#paintedOffset < this.#records.tail);
    if (wait === null) return;
    this.#timers.after("ack", wait, () => {
      const offset = this.#ackPace.take(performance.now());
      const ms = Math.round(this.#paintPace.tookMs);
      this.transport.send({ type: "ack", view: this.#view, offset, ms, ...device() });
    });
  }

  #show() {
    const { chars, have } = this.#records;
    const shown = present({
      link: this.#link, last: this.#last, chars, have, slow: this.#slow, stopUnanswered: this.#stopUnanswered,
    });
    this.viewport.linked = shown.link === "live" && this.#link === "live";
    const { dataset } = this.root;
    dataset.state = shown.state;
    dataset.link = shown.link;
    dataset.offset ??= "-1";
    dataset.chars ??= "0";
    this.root.setAttribute("aria-busy", String(shown.busy));
    this.controls.show(shown);
    this.#showAgents();
  }

  #showAgents() {
    this.viewport.show((agent, state, empty) => presentAgent({ agent, state, link: this.#link, last: this.#last, empty }));
  }
}

/** Memory of this page's scripts, where the browser tells (Chromium does). @returns {{ heap?: number }} */
function heap() {
  const memory = /** @type {any} */ (performance).memory;
  return memory ? { heap: memory.usedJSHeapSize } : {};
}
