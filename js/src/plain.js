/**
 * The answer as plain text: for pages that do not let us run the engine, and until it comes.
 *
 * It travels with every widget, so it is small: of the engine's modules it would need a piece of each (records, state,
 * timers), and they would double it. docs/protocol.md, section 2, is the contract of both.
 */

import { randomId } from "./transport.js";

/** @typedef {import("./records.js").Page} Page */

/** A question is asked again after this long, then twice as long: a blocked kernel answers what it has heard later. */
const AGAIN_MS = 2_000;
const LONGEST_MS = 30_000;
const HOLE_MS = 500;
const ACK_MS = 250;
const HERE_MS = 30_000;
const TEXT = /^(text|reasoning|refusal)$/;

/**
 * @param {import("./transport.js").Transport} transport
 * @param {HTMLElement} el
 * @param {AbortSignal} signal
 * @returns {(why: string) => void} says below the text why there is no more than that
 */
export function showPlain(transport, el, signal) {
  const view = randomId();
  /** @type {Record<string, any>} what the kernel has said of the state */
  let state = {};
  /** @type {Record<string, {length: number, el: HTMLElement}>} */
  let texts = {};
  let [stream, have, why] = ["", -1, ""];
  /** @type {import("./transport.js").Link | undefined} */
  let link;
  /** @type {Record<string, number>} */
  const timers = {};

  const root = make("div", "", el);
  const box = make("div", "plain", root);
  const foot = make("div", "foot", root);
  const line = make("span", "state", foot);
  const buttons = make("span", "actions", foot);
  line.setAttribute("role", "status");
  button("Copy", () => {
    const said = [...box.querySelectorAll(".nbstream-text")].map((text) => text.textContent);
    void navigator.clipboard?.writeText(said.join("\n\n"));
  });
  const stop = button("Stop", () => send("stop", { agent: null }));

  transport.listen({ onPage, onLink }, signal);
  addEventListener("pagehide", () => send("bye"), { signal });
  signal.addEventListener("abort", () => {
    for (const name in timers) clearTimeout(timers[name]);
    root.remove();
    send("bye");
  });
  // What can be stopped is live.
  timers.here = setInterval(() => state.actions?.includes("stop") && send("here", { stream, have }), HERE_MS);
  ask();
  show();

  /** @param {Page} page */
  function onPage(page) {
    link = undefined;
    if (page.stream !== stream) {
      [stream, have, state, texts] = [page.stream, -1, {}, {}];
      box.replaceChildren();
    }
    Object.assign(state, page.state);
    if (page.tail !== undefined) clearTimeout(timers.ask); // a live page is no answer
    if (!apply(page)) after("ask", HOLE_MS, ask);
    // Live pages follow by themselves; behind an answer the rest is asked for.
    else if (have < (page.tail ?? state.offset)) after("ask", page.tail === undefined ? AGAIN_MS : 0, ask);
    timers.ack ??= after("ack", ACK_MS, () => send("ack", { stream, offset: have, ms: 0 }));
    show();
  }

  /** @param {Page} page @returns {boolean} false when something is missing before it */
  function apply({ after, upto, parts }) {
    if (after > have) return false;
    if (upto <= have) return true;
    for (const { agent, kind, text = "", off = 0, of = "text", length } of parts) {
      if (kind === "truncate") cut(texts[`${of} ${agent}`], Number(length));
      if (!text || !TEXT.test(kind)) continue;
      const shown = (texts[`${kind} ${agent}`] ??= { length: 0, el: place(agent, kind) });
      if (off > shown.length) return false;
      // Lengths count code points, as Python does.
      const news = [...text].slice(shown.length - off);
      shown.length += news.length;
      shown.el.append(news.join(""));
    }
    have = upto;
    return true;
  }

  /** @param {{length: number, el: HTMLElement} | undefined} shown @param {number} length that stays */
  function cut(shown, length) {
    if (!shown || length >= shown.length) return;
    shown.el.textContent = [...(shown.el.textContent ?? "")].slice(0, length).join("");
    shown.length = length;
  }

  /** @param {string} agent @param {string} kind */
  function place(agent, kind) {
    const lane = make("div", "lane", box);
    lane.dataset.agent = agent;
    // Only the answer itself is `nbstream-text`; whose or what it is stands in front of anything else.
    if (kind !== "text") lane.append(`${agent}, ${kind}:`);
    else if (agent !== "assistant") lane.append(`${agent}:`);
    return make("div", kind === "text" ? "text" : "aside", lane);
  }

  /** @param {number} [again] */
  function ask(again = AGAIN_MS) {
    after("ask", again, () => ask(Math.min(2 * again, LONGEST_MS)));
    transport.ask({ type: "ask", view, after: have }); // which may learn that there is nobody to ask
  }

  /** @param {string} type @param {object} [more] */
  function send(type, more) {
    transport.send({ type, view, ...more });
  }

  /** @param {import("./transport.js").Link} news */
  function onLink(news) {
    clearTimeout(timers.ask);
    link = news === "back" ? undefined : news;
    if (!link) ask();
    show();
  }

  function show() {
    Object.assign(root.dataset, {
      stream: stream || transport.stream,
      state: state.state ?? "connecting",
      link: link ? "lost" : "live",
      offset: have,
      chars: Object.values(texts).reduce((sum, { length }) => sum + length, 0),
    });
    const shut = link === "shut";
    const next = (shut && state.shut) || state.lost || "run the cell again";
    const lost = link === "cut" ? "Connection to the kernel is lost" : `Kernel ${shut ? "was shut down" : "is gone"}; ${next}`;
    const rest = state.state === "complete" ? state.ended : state.ended && `${state.ended} · ${lost}`;
    line.textContent = (link ? rest || lost : state.line ?? "connecting ...") + why;
    stop.hidden = Boolean(link) || !state.actions?.includes("stop");
  }

  /** @param {string} name @param {number} ms @param {() => void} run */
  function after(name, ms, run) {
    clearTimeout(timers[name]);
    return (timers[name] = setTimeout(() => {
      delete timers[name];
      run();
    }, ms));
  }

  /** @param {string} name @param {() => void} act */
  function button(name, act) {
    const made = make("button", "button", buttons);
    made.textContent = name;
    made.addEventListener("click", act, { signal });
    return made;
  }

  return (reason) => {
    why = ` ${reason}`;
    show();
  };
}

/** @param {string} tag @param {string} name @param {HTMLElement} parent */
function make(tag, name, parent) {
  const el = document.createElement(tag);
  el.className = name ? `nbstream-${name}` : "nbstream";
  parent.append(el);
  return el;
}
