/**
 * Code, tables and formulas that are wider than the answer can be scrolled by the keyboard too: then, and only then, they
 * are stops for the Tab key.
 */

const WIDE = "pre, .nbstream-table, .nbstream-display";
/** How much of an element must come into sight for another look: it may have grown meanwhile. */
const LOOKS = [0, 0.25, 0.5, 0.75, 1];

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
export function keepStops(root, signal) {
  /** @type {Set<HTMLElement>} in sight; what is not may not even be laid out, and looking would do it */
  const seen = new Set();
  const look = (/** @type {HTMLElement} */ el) => {
    const wide = el.scrollWidth > el.clientWidth + 1;
    if (wide === el.hasAttribute("tabindex")) return;
    if (wide) el.tabIndex = 0;
    else el.removeAttribute("tabindex");
  };
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const el = /** @type {HTMLElement} */ (target);
      if (isIntersecting) look(el);
      seen[isIntersecting ? "add" : "delete"](el);
    }
  }, { threshold: LOOKS });
  const lookAtAll = () => seen.forEach((el) => (el.isConnected ? look(el) : seen.delete(el)));
  const widths = new ResizeObserver(lookAtAll);
  const changes = new MutationObserver((list) => {
    for (const { addedNodes, type } of list) {
      if (type === "attributes") lookAtAll(); // the answer came to rest, or goes on
      for (const node of addedNodes) {
        if (!(node instanceof HTMLElement)) continue;
        if (node.matches(WIDE)) sight.observe(node);
        for (const el of node.querySelectorAll(WIDE)) sight.observe(el);
      }
    }
  });
  widths.observe(root);
  changes.observe(root, { attributeFilter: ["data-state"], attributes: true, childList: true, subtree: true });
  signal.addEventListener("abort", () => [sight, widths, changes].forEach((observer) => observer.disconnect()));
}
