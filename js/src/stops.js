/**
 * Code, tables and formulas that are wider than the answer can be scrolled by the keyboard too: then, and only then, they
 * are stops for the Tab key.
 */

import { skippedWith } from "./skipping.js";
import { Timers } from "./timers.js";

const WIDE = "pre, .nbstream-table, .nbstream-display";
/**
 * Looking lays the page out, so nobody looks at every paint; and an observer for each element is asked in every frame
 * (together 0.9 s of the 4 s that 1 MB took at full speed).
 */
const LOOK_MS = 400;

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
export function keepStops(root, signal) {
  const timers = new Timers(signal);
  const soon = () => timers.has("look") || timers.after("look", LOOK_MS, () => look(root));
  const sizes = new ResizeObserver(soon);
  sizes.observe(root);
  const paints = new MutationObserver(soon);
  paints.observe(root, { attributeFilter: ["data-chars", "data-state"] });
  for (const type of ["scroll", "toggle", "load"]) root.addEventListener(type, soon, { capture: true, passive: true, signal });
  signal.addEventListener("abort", () => [sizes, paints].forEach((observer) => observer.disconnect()));
}

/** @param {HTMLElement} root */
function look(root) {
  const shown = [...root.querySelectorAll(WIDE)].filter((el) => !skippedWith(el)); // to measure what is skipped would lay it out
  // First all is measured, then changed: each change would lay the page out anew.
  const wide = shown.map((el) => el.scrollWidth > el.clientWidth + 1);
  for (const [i, el] of shown.entries()) {
    if (wide[i] === el.hasAttribute("tabindex")) continue;
    if (wide[i]) el.setAttribute("tabindex", "0");
    else el.removeAttribute("tabindex");
  }
}
