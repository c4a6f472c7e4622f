/**
 * How requests reach the kernel and how the view learns that there is none any more.
 *
 * The control channel is answered while a cell blocks the kernel, a comm message waits behind it; so control first,
 * where the front end lets us reach it (JupyterLab, Notebook 7), the widget's comm else. Pages always come on the comm.
 */

/**
 * What the host may offer of a kernel connection; every part may be missing outside JupyterLab.
 * @typedef {object} Kernel
 * @property {string} [clientId]
 * @property {string} [status]
 * @property {string} [connectionStatus]
 * @property {(message: object, expectReply: boolean, disposeOnDone: boolean) => Future} [sendControlMessage]
 * @property {() => Promise<void>} [interrupt]
 * @property {Signal} [statusChanged]
 * @property {Signal} [connectionStatusChanged]
 * @property {Signal} [disposed]
 */
/** @typedef {{onReply?: (message: {content?: {status?: string}}) => void, dispose(): void, done: Promise<unknown>}} Future */
/** @typedef {{connect(slot: (sender: unknown, value: string) => void): void, disconnect(slot: (sender: unknown, value: string) => void): void}} Signal */
/**
 * @typedef {object} Model anywidget's proxy of the widget's model
 * @property {(name: string) => unknown} get
 * @property {(content: object) => void} send
 * @property {(name: string, callback: (message: unknown) => void) => void} on
 * @property {(name: string, callback: (message: unknown) => void) => void} off
 * @property {{kernel?: Kernel | null}} [widget_manager]
 */
/** @typedef {{type: string, view: string, [field: string]: unknown}} Request */

const GONE = new Set(["dead", "terminating", "restarting", "autorestarting"]);
/** Nobody waits longer for the answer of a control message; its handler must not stay behind for ever. */
const REPLY_MS = 5_000;

export class Transport {
  #model;
  #kernel;
  #signal;
  #onLink;

  /**
   * @param {Model} model
   * @param {object} options
   * @param {(page: import("./records.js").Page) => void} options.onPage
   * @param {(message: {type: string, [field: string]: unknown}) => void} [options.onOther] any other message
   * @param {(link: "cut" | "gone" | "back") => void} options.onLink
   * @param {AbortSignal} options.signal
   */
  constructor(model, { onPage, onOther, onLink, signal }) {
    this.#model = model;
    this.#signal = signal;
    this.#onLink = onLink;
    // After "Change kernel" the host hands out another one, but this view's records came from this one.
    this.#kernel = model.widget_manager?.kernel ?? null;

    const receive = (/** @type {unknown} */ message) => {
      const page = /** @type {import("./records.js").Page} */ (message);
      if (page?.type === "page") onPage(page);
      else if (page?.type) onOther?.(page);
    };
    model.on("msg:custom", receive);
    signal.addEventListener("abort", () => model.off("msg:custom", receive));

    this.#watch(this.#kernel?.statusChanged, (_, status) => {
      if (GONE.has(status)) onLink("gone");
    });
    this.#watch(this.#kernel?.connectionStatusChanged, (_, status) => onLink(status === "connected" ? "back" : "cut"));
    this.#watch(this.#kernel?.disposed, () => onLink("gone"));
  }

  /** Whether an interrupt can be offered. */
  get canInterrupt() {
    return typeof this.#kernel?.interrupt === "function";
  }

  interrupt() {
    return this.#kernel?.interrupt?.() ?? Promise.resolve();
  }

  /**
   * Send a request; `answered` is called when the kernel confirms it on the control channel.
   * @param {Request} request
   * @param {() => void} [answered] leave it out for requests that need no answer
   * @returns {"control" | "comm" | "lost"} the way it took
   */
  send(request, answered) {
    try {
      if (this.#sendByControl(request, answered)) return "control";
      this.#model.send(request);
      return "comm";
    } catch {
      // Both throw on a dead kernel, the comm also after a restart: that is the news, there is nothing else to report.
      if (!this.#signal.aborted) this.#onLink("gone");
      return "lost";
    }
  }

  /**
   * The slow way, for a kernel that does not listen to our control messages.
   * @param {Request} request
   */
  sendByComm(request) {
    try {
      this.#model.send(request);
    } catch {
      this.#onLink("gone"); // a closed comm
    }
  }

  /**
   * @param {Request} request
   * @param {(() => void)} [answered]
   */
  #sendByControl(request, answered) {
    const kernel = this.#kernel;
    const comm = this.#model.get("comm_id");
    if (!kernel?.sendControlMessage || !comm) return false;
    const future = kernel.sendControlMessage(controlMessage(kernel, { comm, request }), answered !== undefined, true);
    // A kernel without our handler neither answers nor goes idle, and JupyterLab cancels what is open at a restart.
    const timer = setTimeout(() => future.dispose(), REPLY_MS);
    future.done.catch(() => undefined).finally(() => clearTimeout(timer));
    future.onReply = (message) => {
      if (this.#signal.aborted) return;
      if (message.content?.status === "unknown") this.#onLink("gone");
      else answered?.();
    };
    return true;
  }

  /**
   * @param {Signal | undefined} source
   * @param {(sender: unknown, value: string) => void} slot
   */
  #watch(source, slot) {
    source?.connect(slot);
    this.#signal.addEventListener("abort", () => source?.disconnect(slot));
  }
}

/**
 * @param {Kernel} kernel
 * @param {object} content
 */
function controlMessage(kernel, content) {
  return {
    channel: "control",
    content,
    header: {
      date: new Date().toISOString(),
      msg_id: randomId(),
      msg_type: "nbstream_request",
      session: kernel.clientId ?? "",
      username: "",
      version: "5.2",
    },
    metadata: {},
    parent_header: {},
    buffers: [],
  };
}

/** `crypto.randomUUID` is missing in pages without TLS. */
export function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
