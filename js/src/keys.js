/**
 * Keys pressed in an answer are meant for it. A notebook listens around it: `d d` deletes the cell, Enter edits it,
 * Shift+Enter runs it once more, which is another paid call.
 */

/**
 * Keep keys from the notebook while the focus is within `root`. What is typed with Ctrl, Meta or Alt is the notebook's
 * (save, the list of commands), but for Enter, which the buttons take.
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
export function keepKeys(root, signal) {
  const keep = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" || !(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation();
  };
  for (const type of /** @type {const} */ (["keydown", "keypress", "keyup"])) root.addEventListener(type, keep, { signal });
}
