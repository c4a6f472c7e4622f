/**
 * What the browser says of its device and its network, as requests to the kernel carry it. What is as usual is left out.
 */

/** Nobody waits for less than this; the kernel asks no more of a device that has it. */
const PLENTY_GB = 4;

/**
 * The page's view of its device; every part may be missing (Firefox and Safari say neither network nor memory).
 * @typedef {object} Facts
 * @property {string} [net] `slow-2g`, `2g` or `3g`
 * @property {boolean} [saves] the user asked for less data
 * @property {boolean} [hidden] nobody sees the tab
 * @property {number} [memory] gigabytes
 */

/**
 * @param {object} [browser] injected by tests
 * @param {object} [browser.navigator]
 * @param {{hidden?: boolean}} [browser.document]
 * @returns {Facts}
 */
export function device({ navigator = globalThis.navigator, document = globalThis.document } = {}) {
  const { connection, deviceMemory } = /** @type {any} */ (navigator ?? {});
  const net = connection?.effectiveType;
  return {
    ...(net && net !== "4g" ? { net } : {}),
    ...(connection?.saveData ? { saves: true } : {}),
    ...(document?.hidden ? { hidden: true } : {}),
    ...(deviceMemory < PLENTY_GB ? { memory: deviceMemory } : {}),
  };
}

/**
 * Call `tell` when the tab is hidden or seen again, or the network gets better or worse.
 * @param {() => void} tell
 * @param {AbortSignal} signal
 */
export function watchDevice(tell, signal) {
  document.addEventListener("visibilitychange", tell, { signal });
  const { connection } = /** @type {{connection?: EventTarget}} */ (navigator);
  connection?.addEventListener("change", tell, { signal });
}
