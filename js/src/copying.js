/** An answer on its way to the clipboard; a long one has to be read from the log first. */

export class Copying {
  #viewport;
  #controls;
  /** @type {{agent: string | null, owner: AbortController} | null} */
  #running = null;

  /**
   * @param {import("./viewport.js").Viewport} viewport
   * @param {import("./controls.js").Controls} controls
   */
  constructor(viewport, controls) {
    this.#viewport = viewport;
    this.#controls = controls;
  }

  /**
   * Copy the whole source. Once more while a long one is read: that ends.
   * @param {string | null} agent only what this one says
   */
  async copy(agent) {
    const before = this.#running;
    this.end();
    if (before?.agent === agent) return;
    const running = (this.#running = { agent, owner: new AbortController() });
    const { signal } = running.owner;
    const controls = this.#viewport.controls.get(agent ?? "") ?? this.#controls;
    const chars = Math.max(1, this.#viewport.chars);
    let read = 0;
    const onRead = (/** @type {number} */ units) => {
      if (!signal.aborted) controls.progress("copy", Math.min(1, (read += units) / chars));
    };
    const source = this.#viewport.source({ signal, onRead }, agent);
    const copied = this.#viewport.windowed ? await copySource(source, signal) : await copyText(await source);
    if (this.#running === running) this.#running = null;
    controls.progress("copy", null);
    if (copied) controls.done("copy", "Copied.");
    else if (!signal.aborted) controls.failed("copy", "It could not be copied: not all of it could be read, or the browser did not let it.");
  }

  end() {
    this.#running?.owner.abort();
  }
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it is on the clipboard
 */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // no clipboard in a page without TLS, or not allowed
  }
}

/**
 * @param {Promise<string>} read
 * @param {AbortSignal} signal ends it at once: what is on its way is not waited for
 * @returns {Promise<boolean>} whether it is on the clipboard
 */
async function copySource(read, signal) {
  const ended = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const source = /** @type {Promise<string>} */ (Promise.race([read, ended]));
  try {
    // The click allows the clipboard for some seconds only, so a text that takes longer is promised now.
    const item = new ClipboardItem({ "text/plain": source.then((text) => new Blob([text], { type: "text/plain" })) });
    await navigator.clipboard.write([item]);
    return true;
  } catch {
    // Not in every browser, and not in a page without TLS; if it was the text that failed, this says so again.
    return source.then(copyText, () => false);
  }
}

/** @param {string} text */
function copyBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.style.cssText = "position:fixed;opacity:0";
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}
