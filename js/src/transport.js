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
 * @property {(name: string, callback: (message: unknown, buffers: unknown[]) => void) => void} on
 * @property {(name: string, callback: (message: unknown, buffers: unknown[]) => void) => void} [off]
 * @property {{kernel?: Kernel | null, context?: {model?: {cells?: Iterable<{outputs?: import("./saved.js").Outputs}>}}}} [widget_manager]
 */
/** @typedef {{type: string, [field: string]: unknown}} Request */
/** @typedef {"cut" | "gone" | "shut" | "back"} Link see state.js */
/** @typedef {{type: "code", name: string, version: string, text?: string, missing?: boolean}} CodeAnswer see parts.js */
/**
 * @typedef {object} Ears what a listener takes; each may be left out
 * @property {(page: import("./records.js").Page) => void} [onPage]
 * @property {(code: CodeAnswer, buffers: unknown[]) => void} [onCode]
 * @property {(message: {type: string, [field: string]: unknown}, buffers: unknown[]) => void} [onOther] any other message
 * @property {(link: Link) => void} [onLink]
 */

/** It comes back: of itself after a death, or because the user wants it. */
const RESTARTS = new Set(["restarting", "autorestarting"]);
/** It does not, whoever ended it: this page, another one, the server. (After restarts that failed it was not ended.) */
const ENDS = new Set(["dead", "terminating"]);
/** Nobody waits longer for the answer of a control message; its handler must not stay behind for ever. */
const REPLY_MS = 5_000;
/** A control message is confirmed at once, also while a cell runs; silence means a kernel that does not know ours. */
const BY_COMM_MS = 1_000;

/** One a rendered view, for its whole life: some hosts' `off` takes away every listener of the model. */
export class Transport {
  #model;
  #kernel;
  #signal;
  /** @type {Set<Ears>} */
  #listeners = new Set();
  /** Timers of questions that are not confirmed yet. @type {Set<ReturnType<typeof setTimeout>>} */
  #unconfirmed = new Set();
  /** @type {Link | null} what a listener that comes late has missed */
  #link = null;

  /**
   * @param {Model} model
   * @param {AbortSignal} signal
   */
  constructor(model, signal) {
    this.#model = model;
    this.#signal = signal;
    // After "Change kernel" the host hands out another one, but this view's records came from this one.
    this.#kernel = model.widget_manager?.kernel ?? null;

    const receive = (/** @type {any} */ message, /** @type {unknown[]} */ buffers = []) => {
      if (signal.aborted || !message?.type) return;
      const ear = message.type === "page" ? "onPage" : message.type === "code" ? "onCode" : "onOther";
      for (const ears of [...this.#listeners]) ears[ear]?.(message, buffers);
    };
    model.on("msg:custom", receive);
    signal.addEventListener("abort", () => {
      model.off?.("msg:custom", receive);
      this.#unconfirmed.forEach(clearTimeout);
    });

    this.#watch(this.#kernel?.statusChanged, (_, status) => {
      if (RESTARTS.has(status)) this.#say("gone");
      else if (ENDS.has(status)) this.#say("shut");
    });
    this.#watch(this.#kernel?.connectionStatusChanged, (_, status) => this.#say(status === "connected" ? "back" : "cut"));
    // "Change kernel": the server shuts the old one down.
    this.#watch(this.#kernel?.disposed, () => this.#say("shut"));
  }

  /** The stream this view was made for. */
  get stream() {
    return String(this.#model.get("stream") ?? "");
  }

  /** The name of the widget in the notebook's outputs. */
  get id() {
    return String(this.#model.get("comm_id") ?? "");
  }

  /** The cells of the notebook that holds the widget, where the host lets us reach them (JupyterLab 4.6.6; undocumented). */
  get cells() {
    return this.#model.widget_manager?.context?.model?.cells;
  }

  /**
   * The packed engine, where the kernel has sent it unasked and the host has kept it.
   * @returns {BufferSource | undefined}
   */
  get engine() {
    const found = this.#model.get("engine");
    // Some hosts make a text of it.
    return ArrayBuffer.isView(found) ? /** @type {BufferSource} */ (found) : undefined;
  }

  /**
   * Hear of messages and of the link, from now on.
   * @param {Ears} ears
   * @param {AbortSignal} signal
   */
  listen(ears, signal) {
    this.#listeners.add(ears);
    signal.addEventListener("abort", () => this.#listeners.delete(ears));
    if (this.#link && this.#link !== "back") ears.onLink?.(this.#link);
  }

  /** @param {Link} link */
  #say(link) {
    const over = this.#link === "gone" || this.#link === "shut";
    if (over && link === "shut") return; // it was restarted before: what that did to the message was said
    if (!over) this.#link = link;
    for (const ears of [...this.#listeners]) ears.onLink?.(link);
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
      if (!this.#signal.aborted) this.#say("gone");
      return "lost";
    }
  }

  /**
   * Send what the kernel answers with a message: on the comm too when the control channel stays silent.
   * @param {Request} request
   */
  ask(request) {
    const confirmed = () => {
      clearTimeout(timer);
      this.#unconfirmed.delete(timer);
    };
    const timer = setTimeout(() => {
      confirmed();
      this.#sendByComm(request);
    }, BY_COMM_MS);
    this.#unconfirmed.add(timer);
    if (this.send(request, confirmed) !== "control") confirmed();
  }

  /**
   * The slow way, for a kernel that does not listen to our control messages.
   * @param {Request} request
   */
  #sendByComm(request) {
    try {
      this.#model.send(request);
    } catch {
      this.#say("gone"); // a closed comm
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
      if (message.content?.status === "unknown") this.#say("gone");
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
