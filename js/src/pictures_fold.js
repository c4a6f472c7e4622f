/** The fold below an answer that shows what happened to it: its code comes when it is opened. */

import { element } from "./elements.js";

/**
 * @param {object} options
 * @param {import("./reads.js").Reads} options.reads
 * @param {import("./parts.js").Parts} options.parts
 * @param {() => boolean} options.live whether more may come
 * @param {AbortSignal} signal
 */
export function foldPictures({ reads, parts, live }, signal) {
  const el = /** @type {HTMLDetailsElement} */ (element("nbstream-happened", "details"));
  const summary = document.createElement("summary");
  const told = document.createElement("div");
  summary.textContent = "What happened";
  el.append(summary, told);
  /** @type {import("./pictures.js").Pictures | undefined} */
  let pictures;
  const again = () => pictures?.draw(el.open);
  const load = async () => {
    try {
      const { Pictures } = await parts.load("pictures");
      pictures ??= new Pictures({ reads, live, signal });
      told.replaceChildren(pictures.el);
      again();
    } catch (why) {
      told.textContent = `It cannot be shown now: ${why}`;
    }
  };
  el.addEventListener("toggle", () => (pictures || !el.open ? again() : void load()), { signal });
  return {
    el,
    /** The stream stands differently, or another one is shown. */
    again,
  };
}
