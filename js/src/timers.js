/** Named timers and frames with one owner: setting one replaces it, the owner's end cancels all. */

export class Timers {
  /** @type {Map<string, () => void>} how to cancel each */
  #pending = new Map();
  #signal;

  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.#signal = signal;
    signal.addEventListener("abort", () => {
      for (const cancel of this.#pending.values()) cancel();
    });
  }

  /**
   * @param {string} name
   * @param {number} ms
   * @param {() => void} run
   */
  after(name, ms, run) {
    this.clear(name);
    if (this.#signal.aborted) return;
    const timer = setTimeout(() => {
      this.#pending.delete(name);
      run();
    }, ms);
    this.#pending.set(name, () => clearTimeout(timer));
  }

  /**
   * Run in the next animation frame at least `ms` from now.
   * @param {string} name
   * @param {number} ms
   * @param {() => void} run
   */
  frameAfter(name, ms, run) {
    if (ms > 0) return this.after(name, ms, () => this.frameAfter(name, 0, run));
    this.clear(name);
    if (this.#signal.aborted) return;
    const frame = requestAnimationFrame(() => {
      this.#pending.delete(name);
      run();
    });
    this.#pending.set(name, () => cancelAnimationFrame(frame));
  }

  /**
   * Run behind the frame that is being made: its style, layout and paint are done then.
   * @param {() => void} run
   */
  behindFrame(run) {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      if (!this.#signal.aborted) run();
    };
    port2.postMessage(null);
  }

  /** @param {string} name */
  has(name) {
    return this.#pending.has(name);
  }

  /** @param {string} name */
  clear(name) {
    this.#pending.get(name)?.();
    this.#pending.delete(name);
  }
}
