/** The button that shows what happened to the stream: its code comes when it is asked for. */

import { button } from "./elements.js";

/**
 * @param {HTMLElement} root of the view
 * @param {object} options
 * @param {import("./reads.js").Reads} options.reads
 * @param {import("./parts.js").Parts} options.parts
 * @param {() => boolean} options.live whether more may come
 * @param {AbortSignal} signal
 */
export function offerPictures(root, { reads, parts, live }, signal) {
  const toggle = button("Timeline");
  /** @type {import("./pictures.js").Pictures | undefined} */
  let pictures;
  const show = async () => {
    try {
      const { Pictures } = await parts.load("pictures");
      if (!pictures) root.append((pictures = new Pictures({ reads, live, signal })).el);
      toggle.setAttribute("aria-expanded", String(pictures.toggle()));
    } catch (why) {
      toggle.title = `It cannot be shown now: ${why}`;
    }
  };
  toggle.setAttribute("aria-expanded", "false");
  toggle.addEventListener("click", () => void show(), { signal });
  return {
    el: toggle,
    /** The stream stands differently, or another one is shown. */
    again: () => pictures?.again(),
  };
}
