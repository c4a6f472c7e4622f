/**
 * The saved form beside a view that was reloaded.
 *
 * The kernel refreshes the saved form as an update of an output, and a page that was reloaded no longer knows which
 * output that was: its file would say "saved while it was streaming" for ever. So a page that finds that line beside a
 * message at rest asks for the saved form and puts it there itself. It works where the document can be reached from the
 * widget; elsewhere nothing happens, and running the cell again saves the answer.
 */

/** The update of a page that was not reloaded comes within this. */
const WAIT_MS = 3_000;
/** A comm message can get lost, or wait behind a cell: asked again after twice the time, so often. */
const TRIES = 8;
const AT_REST = new Set(["complete", "stopped", "interrupted", "failed"]);
const WIDGET = "application/vnd.jupyter.widget-view+json";
const MARKDOWN = "text/markdown";
/** How the kernel begins the last line of what was saved mid-message (words.py). */
const MID_MESSAGE = "*saved while it was";

/** @typedef {{data?: Record<string, unknown>}} Output */
/** @typedef {{length: number, get(index: number): Output, set(index: number, output: object): void}} Outputs */
/** @typedef {{outputs: Outputs, index: number}} Place */

/** @typedef {import("./transport.js").Transport} Transport */

/**
 * @param {Transport} transport
 * @param {HTMLElement} root of the view
 * @param {AbortSignal} signal
 */
export function keepSaved(transport, root, signal) {
  if (!transport.cells) return;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const look = () => {
    clearTimeout(timer);
    if (root.dataset.link !== "live" || !AT_REST.has(root.dataset.state ?? "")) return;
    ask(0);
  };
  const ask = (/** @type {number} */ tries) => {
    timer = setTimeout(() => {
      if (tries === TRIES || root.dataset.link !== "live" || !staleOf(transport)) return;
      transport.ask({ type: "saved" });
      ask(tries + 1);
    }, WAIT_MS * 2 ** tries);
  };
  const observer = new MutationObserver(look);
  observer.observe(root, { attributeFilter: ["data-state", "data-link"] });
  const onOther = (/** @type {{type: string, [field: string]: unknown}} */ { type, text }) => {
    const place = type === "saved" && text ? staleOf(transport) : null;
    place?.outputs.set(place.index, { output_type: "display_data", data: { [MARKDOWN]: text }, metadata: {} });
  };
  transport.listen({ onOther }, signal);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    observer.disconnect();
  });
}

/**
 * Where the saved form stands that was left behind mid-message; null where there is none.
 * @param {Transport} transport
 * @returns {Place | null}
 */
function staleOf(transport) {
  for (const { outputs } of transport.cells ?? []) {
    for (let index = 1; outputs && index < outputs.length; index++) {
      const widget = /** @type {{model_id?: string} | undefined} */ (outputs.get(index - 1).data?.[WIDGET]);
      if (widget?.model_id !== transport.id) continue;
      const saved = outputs.get(index).data?.[MARKDOWN];
      const text = Array.isArray(saved) ? saved.join("") : String(saved ?? "");
      return text.trimEnd().split("\n").at(-1)?.startsWith(MID_MESSAGE) ? { outputs, index } : null;
    }
  }
  return null;
}
