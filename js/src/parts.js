/**
 * The code that does not travel with every widget: the engine and what it needs now and then. The kernel is asked for
 * it by the build it belongs to; the page keeps it for every widget of that build, beside those of other builds.
 */

/** @typedef {import("./transport.js").Transport} Transport */
/**
 * @typedef {object} Modules
 * @property {typeof import("./engine.js")} engine
 * @property {typeof import("./find.js")} find
 * @property {typeof import("./highlight.js")} highlight
 * @property {typeof import("./math.js")} math
 * @property {typeof import("./pictures.js")} pictures
 */

/** The first wait for code that was asked for; then twice as long: what a blocked kernel has heard it answers later. */
const AGAIN_MS = 5_000;
/** So long another widget's question is waited for: its kernel may be another one, and busy. */
const OTHER_MS = 3_000;

const CAN_UNPACK = typeof DecompressionStream === "function";

/** Every widget's loader is a module of its own; what they share stands here, and its form never changes. */
const SHARED = Symbol.for("nbstream.code");

/** @returns {Map<string, Promise<any>>} modules, or the loading of them, by name and build */
const loads = () => (/** @type {any} */ (globalThis)[SHARED] ??= new Map());

export class Parts {
  #transport;
  #signal;
  #run;

  /**
   * @param {Transport} transport
   * @param {AbortSignal} signal
   * @param {(code: Code) => Promise<any>} [run]
   */
  constructor(transport, signal, run = runModule) {
    this.#transport = transport;
    this.#signal = signal;
    this.#run = run;
  }

  /**
   * The module of that name, asked for once a page. Rejects when the kernel is gone, has another build, or when the
   * page does not let us run it; the next call tries again.
   * @template {keyof Modules} Name
   * @param {Name} name
   * @returns {Promise<Modules[Name]>}
   */
  async load(name) {
    const key = `${name} ${NBSTREAM_BUILD}`;
    let waited;
    for (let other; (other = loads().get(key)) && other !== waited; waited = other) {
      const module = await soon(other);
      if (module) return module;
    }
    const loading = this.#fetch(name).then(this.#run);
    loads().set(key, loading);
    loading.catch(() => loads().get(key) === loading && loads().delete(key));
    return loading;
  }

  /**
   * @param {keyof Modules} name
   * @returns {Promise<Code>}
   */
  async #fetch(name) {
    const brought = this.#transport.engine;
    if (name === "engine" && brought && CAN_UNPACK) return brought;
    const over = new AbortController();
    /** @type {number | undefined} */
    let timer;
    return /** @type {Promise<Code>} */ (
      new Promise((resolve, reject) => {
        let packed = CAN_UNPACK;
        let wait = AGAIN_MS;
        const ask = () => {
          clearTimeout(timer);
          timer = setTimeout(ask, wait);
          wait *= 2;
          this.#transport.ask({ type: "code", name, version: NBSTREAM_BUILD, packed });
        };
        const abandon = () => reject(abandoned());
        this.#signal.addEventListener("abort", abandon, { signal: over.signal });
        this.#transport.listen(
          {
            onCode: (answer, buffers) => {
              if (answer.name !== name || answer.version !== NBSTREAM_BUILD) return;
              if (answer.missing) reject(new Error("nbstream has changed on disk, restart the kernel"));
              else if (answer.text !== undefined) resolve(answer.text);
              else if (buffers[0]) resolve(/** @type {BufferSource} */ (buffers[0]));
              else if (packed) {
                packed = false; // a host that drops buffers
                ask();
              }
            },
            onLink: (link) => {
              if (link === "back") ask();
              else if (link !== "cut") abandon();
            },
          },
          over.signal,
        );
        if (this.#signal.aborted) abandon();
        else ask();
      })
    ).finally(() => {
      clearTimeout(timer);
      over.abort();
    });
  }
}

/** @typedef {string | BufferSource} Code plain, or packed by gzip: a DataView, an array, a bare buffer, as the host has it */

/** The widget that asked is closed or its kernel gone; others may well try. */
const abandoned = () => new DOMException("the kernel is gone", "AbortError");

/**
 * The module, or nothing when it does not come now but may be asked for by another widget.
 * @param {Promise<any>} loading
 */
async function soon(loading) {
  /** @type {number | undefined} */
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, OTHER_MS)));
  try {
    return await Promise.race([loading, late]);
  } catch (error) {
    // By name: it was made by another instance of this module.
    if (/** @type {Error} */ (error).name !== "AbortError") throw error;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param {Code} code
 * @returns {Promise<any>}
 */
async function runModule(code) {
  const text = typeof code === "string" ? code : await unpack(code);
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** @param {BufferSource} packed */
function unpack(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
