/** Copying an answer whose text may have to be read first. */

import { copyText } from "./clipboard.js";

/**
 * @param {Promise<string>} read
 * @param {AbortSignal} signal ends it at once: what is on its way is not waited for
 * @returns {Promise<boolean>} whether it is on the clipboard
 */
export async function copySource(read, signal) {
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
