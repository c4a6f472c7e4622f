/** What the browser skips: groups out of sight (`content-visibility: auto` of a full group, see box.css and group.js). */

/**
 * The group that is skipped and holds an element, if one is. In browsers that cannot tell nothing is skipped.
 * @param {Element} el
 * @returns {Element | null}
 */
export function skippedWith(el) {
  if (typeof el.checkVisibility !== "function") return null;
  const group = el.closest(".nbstream-full");
  return group?.checkVisibility() && !el.checkVisibility({ contentVisibilityAuto: true }) ? group : null;
}

/**
 * Until a group is not skipped any more: for ever, if nobody ever comes there.
 * @param {Element} group
 * @returns {Promise<void>}
 */
export function unskipped(group) {
  return new Promise((resolve) => {
    const changed = (/** @type {any} */ event) => {
      if (event.skipped) return;
      group.removeEventListener("contentvisibilityautostatechange", changed);
      resolve();
    };
    group.addEventListener("contentvisibilityautostatechange", changed);
  });
}
