/**
 * One agent's part of the answer, in the order in which it came: stretches of text, each with its reasoning folded above
 * it, and between them what breaks the text: tool calls, seams, gaps.
 */

import { Calls } from "./calls.js";
import { Gaps } from "./gaps.js";
import { Notes, seam } from "./marks.js";
import { Passage, Refusal } from "./passage.js";
import { Reasoning } from "./reasoning.js";
import { cutInto } from "./source.js";
import { isLive } from "./state.js";

/** @typedef {import("./records.js").Write} Write */
/** @typedef {import("./records.js").Part} Part */
/** @typedef {"text" | "reasoning" | "refusal"} TextKind */

/** Code points that are asked for at once when all of a long text is read: about one answer of the kernel. */
const READ_POINTS = 262_144;

export class Lane {
  el = document.createElement("div");
  /** Its name. */
  heading = document.createElement("div");
  #flow = document.createElement("div");
  #notes = new Notes();
  #gaps = new Gaps();
  #options;
  /** In the order of the text. @type {Passage[]} */
  #passages = [];
  /** Passages of the stretch that is being written. @type {Partial<Record<TextKind, Passage>>} */
  #open = {};
  /** The first of a stretch stands where it began: reasoning that comes late belongs above its text. @type {Element | null} */
  #first = null;
  /** Marks stand below the text already, which goes on above them to the next place where it can be broken. */
  #held = false;
  /** The text of the stretch goes on where the one before it ended, in the middle of a word perhaps. */
  #goesOn = false;
  #calls = new Calls();
  /** @type {Set<Passage>} */
  #changed = new Set();
  /** @type {Reasoning | null} that is being written */
  #thinking = null;

  /**
   * @param {string} agent
   * @param {import("./body.js").Shared} [options] for the bodies of its text
   */
  constructor(agent, options = {}) {
    this.agent = agent;
    this.#options = options;
    this.el.className = "nbstream-lane";
    this.el.dataset.agent = agent;
    this.heading.className = "nbstream-agent";
    this.heading.textContent = agent;
    this.heading.setAttribute("role", "heading");
    this.heading.setAttribute("aria-level", "4");
    this.#flow.className = "nbstream-flow";
    this.el.append(this.heading, this.#flow, this.#notes.el);
  }

  /** Nothing stands in it. */
  get empty() {
    return !this.#flow.firstChild && this.#notes.el.hidden === true;
  }

  /** @param {boolean} named show whose words these are */
  set named(named) {
    this.heading.hidden = !named;
  }

  /**
   * The Markdown as it came, without reasoning and tools.
   * @param {import("./source.js").Reading} [reading] of text that has to be read again
   * @returns {Promise<string>}
   */
  async source(reading) {
    const said = this.#passages.filter(({ kind }) => kind !== "reasoning");
    const texts = await this.#read(said, reading);
    return said.reduce((before, passage, i) => {
      const text = this.#gaps.whole(passage, texts[i] ?? "");
      // Behind a call, and as another kind, it begins anew: a paragraph of its own.
      const between = !before || !text || passage.goesOn ? "" : before.endsWith("\n") ? "\n" : "\n\n";
      return before + between + text;
    }, "");
  }

  /**
   * The text of each passage. What only the log has is read in turn, many short passages at once: between the tool calls
   * of a long answer stand thousands.
   * @param {Passage[]} passages
   * @param {import("./source.js").Reading} [reading]
   * @returns {Promise<string[]>}
   */
  async #read(passages, reading) {
    const { windowing, reads } = this.#options;
    if (!windowing?.windowed || !reads) return Promise.all(passages.map((passage) => passage.source(reading)));
    /** @type {{kind: string, from: number, to: number, lengths: number[]}[]} */
    const runs = [];
    for (const { kind, from, length } of passages) {
      const run = runs.at(-1);
      const to = from + length;
      if (run?.kind === kind && run.to === from && to - run.from <= READ_POINTS) {
        run.lengths.push(length);
        run.to = to;
      } else runs.push({ kind, from, to, lengths: [length] });
    }
    const texts = [];
    for (const { kind, from, to, lengths } of runs) {
      const cut = cutInto(await reads.text(this.agent, kind, from, to, reading), lengths);
      if (!cut) throw new Error("this part of the log reads differently now");
      texts.push(cut);
    }
    return texts.flat();
  }

  /** @param {Write} write */
  write({ kind, text, part, taken = 0 }) {
    switch (kind) {
      case "text":
        return this.#writeText(text);
      case "reasoning":
      case "refusal":
        return this.#write(kind, text);
      case "tool_call":
      case "tool_result":
        return this.#call(part);
      case "seam":
        return this.#mark(seam(part));
      case "gap":
        return this.#mark(this.#gaps.add(part));
      case "late":
        return this.#gaps.fill(part);
      case "truncate":
        if (part.of === "tool_call") return this.#calls.takeBack(Number(part.length));
        return taken > 0 ? this.#takeBack(part) : undefined;
      case "agent_start":
        if (typeof part.name === "string") this.heading.textContent = part.name;
        return;
      case "agent_end":
      case "waiting":
      case "usage":
        return; // the state says so, of the agent or of the stream
      default:
        this.#notes.countUnknown(typeof part.type === "string" ? part.type : kind);
    }
  }

  /** First and last line of its text, as far as it is on the page. @returns {[string, string]} */
  get gist() {
    const lines = (/** @type {Element | undefined} */ el) => (el?.textContent ?? "").split("\n").filter((line) => line.trim());
    const blocks = [...this.el.querySelectorAll(".nbstream-text :is(h1, h2, h3, h4, h5, h6, p, pre, tr)")].filter((el) => el.textContent?.trim());
    return [lines(blocks[0])[0] ?? "", lines(blocks.at(-1)).at(-1) ?? ""];
  }

  /** The answer is over: its last line is whole. */
  end() {
    for (const passage of Object.values(this.#open)) {
      passage.end();
      this.#changed.add(passage);
    }
    this.#calls.end();
  }

  /** Whether all that was written is painted as it stands. */
  get through() {
    return this.#changed.size === 0;
  }

  paint() {
    const state = this.el.dataset.state ?? "";
    if (this.#thinking && this.#thinking.going !== isLive(state)) {
      this.#thinking.going = isLive(state);
      this.#changed.add(this.#thinking);
    }
    for (const passage of this.#changed) if (passage.paint()) this.#changed.delete(passage);
    this.#gaps.paint();
    this.#calls.paint(state);
    this.#notes.paint();
  }

  // --- text -----------------------------------------------------------------------------------------------------------

  /** @param {string} text */
  #writeText(text) {
    const { breaks } = this.#open.text ?? this.#begin("text");
    const at = breaks.read(text, this.#held);
    this.#write("text", text.slice(0, at));
    if (this.#held && breaks.safe) this.#break(true);
    if (at < text.length) this.#writeText(text.slice(at));
  }

  /**
   * @param {TextKind} kind
   * @param {string} text
   */
  #write(kind, text) {
    if (kind !== "reasoning") this.#stopThinking();
    const passage = this.#open[kind] ?? this.#begin(kind);
    if (kind === "reasoning") this.#thinking = /** @type {Reasoning} */ (passage);
    passage.write(text);
    this.#changed.add(passage);
  }

  /** @param {TextKind} kind */
  #begin(kind) {
    if (!this.#first) this.#calls.end();
    const passage = create(kind, this.agent, this.#length(kind), this.#options);
    passage.goesOn = kind === "text" && this.#goesOn;
    if (kind === "reasoning") this.#flow.insertBefore(passage.el, this.#first);
    else this.#flow.append(passage.el);
    this.#first ??= passage.el;
    this.#open[kind] = passage;
    this.#passages.push(passage);
    return passage;
  }

  /**
   * Code points of a kind.
   * @param {TextKind} kind
   */
  #length(kind) {
    for (let i = this.#passages.length - 1; i >= 0; i--) {
      const passage = /** @type {Passage} */ (this.#passages[i]);
      if (passage.kind === kind) return passage.from + passage.length;
    }
    return 0;
  }

  #stopThinking() {
    if (!this.#thinking) return;
    this.#thinking.going = false;
    this.#changed.add(this.#thinking);
    this.#thinking = null;
  }

  /**
   * What comes now stands below everything there is.
   * @param {boolean} goesOn the text does, as it came; else it begins anew
   */
  #break(goesOn) {
    this.end();
    this.#goesOn = goesOn;
    this.#stopThinking();
    this.#open = {};
    this.#first = null;
    this.#held = false;
  }

  /** @param {HTMLElement} el */
  #mark(el) {
    const { text } = this.#open;
    this.#flow.append(el);
    if (text && !text.breaks.safe) this.#held = true;
    else this.#break(text ? true : this.#goesOn);
  }

  /** @param {Part} part */
  #takeBack({ of = "text", length }) {
    this.#notes.countTakenBack();
    const stays = Number(length);
    for (let i = this.#passages.length - 1; i >= 0; i--) {
      const passage = /** @type {Passage} */ (this.#passages[i]);
      if (passage.kind !== of) continue;
      if (passage.from + passage.length <= stays) return;
      this.#changed.add(passage);
      passage.truncate(Math.max(0, stays - passage.from));
      const begun = this.#open[passage.kind] === passage && passage.from === stays;
      if (passage.length === 0 && !begun) this.#drop(passage);
    }
  }

  /** @param {Passage} passage empty; text that is written anew gets another one, which begins where it does */
  #drop(passage) {
    passage.el.hidden = true; // it stays where it is: its body is known to those who order them by the page
    this.#passages.splice(this.#passages.indexOf(passage), 1);
    if (this.#open[passage.kind] === passage) delete this.#open[passage.kind];
    if (this.#thinking === passage) this.#thinking = null;
  }

  // --- tools ----------------------------------------------------------------------------------------------------------

  /** @param {Part} part */
  #call(part) {
    let call = part.kind === "tool_call" ? this.#calls.goneOnBy(part) : this.#calls.answeredBy(part);
    if (!call) {
      // A model calls when it has said its part, but a block of code that is open would turn all that follows inside out.
      if (this.#open.text?.breaks.inFence) this.#held = true;
      else this.#break(false);
      call = this.#calls.add(part);
      this.#flow.append(call.el);
    }
    this.#calls.take(call, part);
  }
}

/**
 * @param {TextKind} kind
 * @param {string} agent
 * @param {number} from
 * @param {object} [options]
 */
function create(kind, agent, from, options) {
  if (kind === "reasoning") return new Reasoning(agent, from, options);
  if (kind === "refusal") return new Refusal(agent, from, options);
  return new Passage("text", agent, from, options);
}
