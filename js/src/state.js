/**
 * What the state line says and which buttons are offered, from the kernel's last word and the state of the link.
 */

/**
 * @typedef {object} KernelState
 * @property {string} state
 * @property {string} line
 * @property {string} [ended] at rest, how it ended: the line without buttons
 * @property {string} [lost] how to go on when the kernel is gone
 * @property {string} [shut] the same when it was shut down for good, where that is something else
 * @property {string[]} actions
 * @property {number} offset
 * @property {number} chars
 * @property {Record<string, string>} [agents] of a team the state of each
 * @property {Record<string, string>} [lines]
 * @property {Record<string, string[]>} [buttons]
 * @property {[number, number]} [answers] which of how many to this question is shown
 * @property {boolean} [saved]
 * @property {boolean} [short] complete, but cut off by the token limit
 * @property {boolean} [kept] the text that grows is on disk, up to `offset`
 * @property {string} [pace] how often pages come, and why
 */
/**
 * `waiting`: asked, no page yet; `live`; `cut`: the connection to the server is gone, it may come back;
 * `gone`: the kernel that recorded is dead or restarted; `shut`: it was shut down, and does not come back.
 * @typedef {"waiting" | "live" | "cut" | "gone" | "shut"} Link
 */
/** @typedef {"stop" | "keep" | "resume" | "continue" | "regenerate" | "interrupt" | "copy"} Action */
/**
 * @typedef {object} Shown
 * @property {string} state
 * @property {"live" | "lost"} link
 * @property {string} line
 * @property {Action[]} actions
 * @property {boolean} busy true while text may still come
 * @property {boolean} empty no text is shown yet
 * @property {string} [why] how far the text is saved, how often it is brought up to date, and why; behind the line
 */

/** @type {ReadonlyMap<Action, string>} every button and its name, in the order they are shown but for Copy, which stands first */
export const BUTTONS = new Map([
  ["stop", "Stop"],
  ["interrupt", "Interrupt kernel"],
  ["keep", "Keep waiting"],
  ["resume", "Resume"],
  ["continue", "Continue"],
  ["regenerate", "Regenerate"],
  ["copy", "Copy"],
]);

/** What a page shows of a stream it has heard nothing of. @type {KernelState} */
const UNKNOWN = { state: "connecting", line: "connecting ...", actions: [], offset: -1, chars: 0 };

/**
 * Pages carry only what is new of the state.
 * @param {KernelState | null} last
 * @param {Partial<KernelState>} news
 * @returns {KernelState}
 */
export const merge = (last, news) => ({ ...UNKNOWN, ...last, ...news });

/**
 * What is told of an agent, who may be called `constructor`.
 * @template T
 * @param {Record<string, T> | undefined} told
 * @param {string} agent
 */
export const of = (told, agent) => (told && Object.hasOwn(told, agent) ? told[agent] : undefined);

const LIVE = new Set(["connecting", "streaming", "retrying", "stalled"]);

/** @param {string} state */
export const isLive = (state) => LIVE.has(state);

/** Whether nobody answers. @param {Link} link */
const isLost = (link) => link === "cut" || link === "gone" || link === "shut";

/**
 * @param {object} facts
 * @param {Link} facts.link
 * @param {KernelState | null} facts.last the newest state from the kernel
 * @param {number} facts.chars code points shown
 * @param {number} facts.have last record shown
 * @param {boolean} [facts.slow] the kernel has not answered for a while
 * @param {boolean} [facts.stopUnanswered] Stop was pressed and nothing came back
 * @returns {Shown}
 */
export function present({ link, last, chars, have, slow = false, stopUnanswered = false }) {
  const state = last?.state ?? "connecting";
  const empty = chars === 0;
  if (isLost(link)) {
    return { state, link: "lost", line: lostLine(link, last, chars, have), actions: ["copy"], busy: false, empty };
  }
  if (!last) {
    const line = slow ? "connecting: the kernel is busy and has not answered yet" : "connecting ...";
    return { state, link: "live", line, actions: [], busy: true, empty };
  }
  const offered = new Set(last.actions);
  if (stopUnanswered && isLive(state)) offered.add("interrupt");
  const actions = [...BUTTONS.keys()].filter((action) => offered.has(action) || action === "copy");
  const line = stopUnanswered && isLive(state) ? "Stop was sent, the kernel has not answered yet" : last.line;
  const kept = last.kept && last.offset >= 0 ? `saved up to record ${last.offset}` : "";
  const why = isLive(state) ? [kept, last.pace].filter(Boolean).join(" · ") : "";
  return { state, link: "live", line, actions, busy: isLive(state), empty, ...(why && { why }) };
}

/**
 * The same of one of several agents. One that the kernel says nothing of (who speaks within an agent) has the state that
 * its lane has, and no buttons.
 * @param {object} facts
 * @param {string} facts.agent
 * @param {string} facts.state of its lane
 * @param {Link} facts.link
 * @param {KernelState | null} facts.last the newest state from the kernel
 * @param {boolean} facts.empty nothing of it is shown yet
 * @returns {Shown}
 */
export function presentAgent({ agent, state, link, last, empty }) {
  const lost = isLost(link);
  const offered = new Set(lost ? [] : of(last?.buttons, agent));
  const actions = [...BUTTONS.keys()].filter((action) => offered.has(action) || action === "copy");
  // The line of the whole says why nothing comes and what to do.
  const line = lost ? (isLive(state) ? "cut off" : state) : (of(last?.lines, agent) ?? state);
  return { state, link: lost ? "lost" : "live", line, actions, busy: !lost && isLive(state), empty };
}

/**
 * @param {Link} link
 * @param {KernelState | null} last
 * @param {number} chars
 * @param {number} have
 */
function lostLine(link, last, chars, have) {
  if (last?.state === "complete") return last.ended || last.line;
  const gone = link === "shut" ? "was shut down" : "is gone";
  if (!last || have < 0) {
    return link === "cut" ? "Connection to the kernel is lost, waiting for it." : `Kernel ${gone}. Run the cell again.`;
  }
  const came = `${chars.toLocaleString("en-US")} character${chars === 1 ? "" : "s"} came, up to record ${have}`;
  // Only the kernel knew whether the source resumes and where the text is kept.
  const next = (link === "shut" && last.shut) || last.lost;
  if (last.ended) {
    // How it ended was said already, with all its figures: the end of the kernel takes nothing of that back.
    const here = have < last.offset ? [came] : [];
    if (link === "cut") here.push(here.length ? "the rest follows when it is back" : "the buttons come back with it");
    else if (next) here.push(next);
    return [last.ended, [link === "cut" ? "connection to the kernel is lost" : `kernel ${gone}`, ...here].join(", ")].join(" · ");
  }
  if (link === "cut") {
    const back = isLive(last.state) || have < last.offset ? "the rest follows when it is back" : "the buttons come back with it";
    return `Connection to the kernel is lost. ${came}; ${back}.`;
  }
  return next ? `Kernel ${gone}. ${came}; ${next}.` : `Kernel ${gone}. The text below is what came.`;
}
