/** Text on its way to the clipboard; that of a long answer has to be read first. */

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it is on the clipboard
 */
export async function copyText(text) {
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
