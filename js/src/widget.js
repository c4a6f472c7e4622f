/**
 * What travels with every widget: it fetches the engine, once a page, and shows plain text where that does not come.
 * What the widget host calls is here; all else is independent of it.
 */

import { Parts } from "./parts.js";
import { showPlain } from "./plain.js";
import { Transport } from "./transport.js";

/** A kernel that answers has sent the engine long before. */
const PLAIN_MS = 3_000;

/**
 * @param {{model: import("./transport.js").Model, el: HTMLElement}} host
 * @returns {() => void} ends the view
 */
function render({ model, el }) {
  const owner = new AbortController();
  void show(new Transport(model, owner.signal), el, owner.signal);
  return () => owner.abort();
}

/**
 * @param {Transport} transport
 * @param {HTMLElement} el
 * @param {AbortSignal} signal
 */
async function show(transport, el, signal) {
  const parts = new Parts(transport, signal);
  const meanwhile = new AbortController();
  /** @type {ReturnType<typeof showPlain> | undefined} */
  let explain;
  const plain = () => (explain ??= showPlain(transport, el, meanwhile.signal));
  const timer = setTimeout(plain, PLAIN_MS);
  signal.addEventListener("abort", end);
  try {
    const { View } = await parts.load("engine");
    // First the view, then the goodbye of what stood there: at no moment nobody looks.
    if (!signal.aborted) new View({ transport, parts }, el, signal);
    end();
  } catch (error) {
    clearTimeout(timer);
    if (!signal.aborted) plain()(`(${error instanceof Error ? error.message : error})`);
  }

  function end() {
    clearTimeout(timer);
    meanwhile.abort();
  }
}

export default { render };
