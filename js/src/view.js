/**
 * One rendered view: pages come in, text is painted at a pace the page can bear, what was painted is acknowledged.
 */

import { Asking } from "./asking.js";
import { Controls } from "./controls.js";
import { Copying } from "./copying.js";
import { foldPictures } from "./pictures_fold.js";
import { device, watchDevice } from "./device.js";
import { keepKeys } from "./keys.js";
import { AckPace, PaintPace } from "./pace.js";
import { Pager } from "./pager.js";
import { Queue } from "./queue.js";
import { Reads } from "./reads.js";
import { Records } from "./records.js";
import { isLive, merge, present, presentAgent } from "./state.js";
import { keepStops } from "./stops.js";
import { keepSurroundings } from "./surroundings.js";
import { Timers } from "./timers.js";
import { Viewport } from "./viewport.js";

/** @typedef {import("./records.js").Page} Page */

const STOP_MS = 300;
/** The place of the old answer is kept for the new one, up to this share of the window (box.css: the box's own limit). */
const HIGHEST = 0.7;

export class View {
  #records = new Records();
  #paintPace = new PaintPace();
  #ackPace = new AckPace();
  /** @type {import("./state.js").KernelState | null} */
  #last = null;
  #stopUnanswered = false;
  #queue = new Queue();
  #paintedOffset = -1;
  #ended = false;
  /** @type {Record<string, string> | undefined} how the lanes were shown to stand */
  #paintedAgents;
  #painting = false;
  /** What an error in a paint has left: behind the line. The answer is read anew once, in case it was of the moment. */
  #broken = "";
  /** The page that begins at the beginning begins the view anew, as one of another answer would. */
  #anew = false;
  #copying;
  #pictures;
  #timers;
  #asking;

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
    this.reads = new Reads((question) => this.#asking.send(question), signal);
    this.viewport = new Viewport(this.root, signal, {
      reads: this.reads, parts, onAction: (action, agent) => void this.#act(action, agent),
    });
    this.controls = new Controls(this.root, { onAction: (action) => void this.#act(action), signal });
    this.pager = new Pager((answer) => this.#asking.send({ type: "turn", answer }), signal);
    // The one that comes later, with a second answer, stands where it moves no other.
    this.controls.add(this.viewport.orderToggle);
    this.controls.add(this.pager.el);
    this.#pictures = foldPictures({ reads: this.reads, parts, live: () => isLive(this.#last?.state ?? "") }, signal);
    this.root.append(this.#pictures.el);
    keepKeys(this.root, signal);
    keepStops(this.root, signal);
    keepSurroundings(this.root, signal);
    this.transport = transport;
    this.#asking = new Asking(transport, {
      records: this.#records,
      onPage: (page) => this.#receive(page),
      onOther: (message) => this.reads.receive(message),
      onChange: () => this.#linked(),
    }, signal);
    this.root.dataset.stream = transport.stream;
    this.#show();

    this.#copying = new Copying(this.viewport, this.controls);
    signal.addEventListener("abort", () => this.#copying.end());
    this.root.addEventListener("keydown", (event) => event.key === "Escape" && this.#copying.end(), { signal });
    watchDevice(() => this.#deviceChanged(), signal);
    this.#asking.start();
  }

  /** @param {Page} page */
  #receive(page) {
    if (this.#anew && page.after < 0) this.#records.stream = "";
    const outcome = this.#records.apply(page);
    if (outcome.fresh) this.#begin(page.stream);
    const before = this.#last?.state;
    this.#last = merge(this.#last, page.state);
    const live = isLive(this.#last.state);
    if (outcome.fresh) this.viewport.follow(live);
    if (!live) this.#answered();
    this.#queue.add(outcome.writes, page.upto);
    this.#asking.heard(page, { ...outcome, live, room: this.#queue.room });
    // A page seen before is acknowledged again: the ack for it may be what got lost.
    if (page.upto > page.after && page.upto <= this.#paintedOffset) {
      this.#ackPace.painted(this.#paintedOffset);
      this.#scheduleAck();
    }
    this.#schedulePaint();
    // With the next paint, in one frame with it, unless it is more than numbers that change.
    if (!this.#painting || before !== this.#last.state) this.#show();
    if (before !== this.#last.state) this.#pictures.again();
  }

  /** @param {string} stream */
  #begin(stream) {
    // The notebook below stays where it is while the new answer takes the place of the old one.
    this.root.style.minHeight = `${Math.min(this.root.offsetHeight, HIGHEST * innerHeight)}px`;
    if (stream !== this.root.dataset.stream) {
      this.#last = null;
      this.#broken = "";
    }
    this.#anew = false;
    Object.assign(this.root.dataset, { stream, offset: "-1", chars: "0" });
    this.#timers.clear("ack");
    this.#copying.end();
    this.reads.begin(stream);
    this.viewport.clear();
    this.#queue = new Queue();
    this.#paintedOffset = -1;
    this.#paintPace = new PaintPace(device());
    this.#ackPace = new AckPace();
  }

  #deviceChanged() {
    this.#schedulePaint(true);
    if (this.#last && isLive(this.#last.state)) this.#asking.here();
  }

  #linked() {
    if (this.#asking.link !== "live") this.#timers.clear("stop");
    this.#show();
  }

  // --- buttons --------------------------------------------------------------------------------------------------------

  /**
   * @param {import("./state.js").Action} action
   * @param {string | null} [agent] null: the whole
   */
  async #act(action, agent = null) {
    if (action === "copy") return this.#copying.copy(agent);
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
    this.#asking.send({ type: action, agent }, () => this.#answered());
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
    const settled = this.#paintedOffset >= this.#records.have && this.#queue.empty && this.viewport.through;
    // One agent may come to rest without a word of text.
    if (settled && this.#ended === this.#over() && this.#paintedAgents === this.#last?.agents) {
      this.#painting = false;
      return;
    }
    this.#painting = true;
    const wait = this.#paintPace.waitMs(performance.now(), this.#queue.units, device());
    const paint = () => {
      try {
        this.#paint();
      } catch (why) {
        this.#failed(why);
      }
    };
    if (document.hidden) this.#timers.after("paint", wait, paint);
    else this.#timers.frameAfter("paint", wait, paint);
  }

  /** The text that was to be painted is lost to the page, not to the log. @param {unknown} why */
  #failed(why) {
    console.error(why);
    this.#painting = false;
    const again = !this.#broken && this.#asking.link === "live";
    this.#broken = ` (${why}: ${again ? "shown anew" : "not all of it is shown, reload the page"})`;
    if (again) {
      this.#anew = true;
      this.#records.have = -1;
      this.#queue = new Queue();
      this.#timers.clear("ack");
      this.#asking.ask();
    }
    this.#show();
    if (!this.#queue.empty) this.#schedulePaint();
  }

  #paint() {
    const startedAt = performance.now();
    const pieces = this.#queue.take(this.#paintPace.units);
    if (this.#queue.room) this.#asking.goOn();
    // First the states: they name all agents, in their order.
    if (this.#last) this.viewport.setStates(this.#last.state, this.#last.agents);
    for (const piece of pieces) this.viewport.write(piece);
    this.viewport.waiting = this.#queue.units;
    const drained = this.#queue.empty;
    let offset = this.#paintedOffset;
    let written = 0;
    for (const { units, upto = offset } of pieces) {
      written += units;
      offset = upto;
    }
    if (drained) offset = this.#records.have;
    this.viewport.paint(drained && this.#records.have >= (this.#last?.offset ?? 0), () => this.#show());
    const ends = drained && this.#over() && this.viewport.through;
    this.#ended = ends;
    this.#paintedAgents = this.#last?.agents;
    if (ends) this.root.style.minHeight = "";
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
      this.#schedulePaint();
    });
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
      this.#asking.send({ type: "ack", stream: this.#records.stream, offset, ms, ...device() });
    });
  }

  #show() {
    const { chars, have } = this.#records;
    const shown = present({
      link: this.#asking.link, last: this.#last, chars, have, slow: this.#asking.slow, stopUnanswered: this.#stopUnanswered,
    });
    this.viewport.linked = shown.link === "live" && this.#asking.link === "live";
    const { dataset } = this.root;
    dataset.state = shown.state;
    dataset.link = shown.link;
    this.root.toggleAttribute("data-short", this.#last?.short === true);
    dataset.offset ??= "-1";
    dataset.chars ??= "0";
    this.root.setAttribute("aria-busy", String(shown.busy));
    shown.line += this.#broken;
    this.controls.show(shown);
    this.pager.show(shown, this.#last?.answers);
    this.#showAgents();
  }

  #showAgents() {
    this.viewport.show((agent, state, empty) => presentAgent({ agent, state, link: this.#asking.link, last: this.#last, empty }));
  }
}
