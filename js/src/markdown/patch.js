/** The open end is made anew on every paint, a piece when a link is defined: what is the same keeps its nodes, so a selection in it survives. */

/**
 * @param {Node} parent
 * @param {Node} now holds the children that `parent` shall have; some are moved
 */
export function patch(parent, now) {
  let old = parent.firstChild;
  for (let node = now.firstChild; node; ) {
    const next = node.nextSibling;
    if (!old) parent.appendChild(node);
    else {
      const behind = old.nextSibling;
      if (!update(old, node)) parent.replaceChild(node, old);
      old = behind;
    }
    node = next;
  }
  while (old) {
    const behind = old.nextSibling;
    parent.removeChild(old);
    old = behind;
  }
}

/**
 * @param {Node} old
 * @param {Node} now
 * @returns {boolean} whether `old` is like `now` after it
 */
export function update(old, now) {
  if (old.nodeName !== now.nodeName) return false;
  if (old instanceof Text && now instanceof Text) {
    const [before, after] = [old.data, now.data];
    if (before === after) return true;
    if (after.startsWith(before)) old.appendData(after.slice(before.length));
    else old.data = after;
    return true;
  }
  // Attributes of one kind of element differ rarely; a button has a listener of its own.
  if (!(old instanceof Element) || !(now instanceof Element) || old.nodeName === "BUTTON" || !sameAttributes(old, now)) return old.isEqualNode(now);
  if (!sameCode(old, now)) patch(old, now);
  return true;
}

/**
 * Code that has got its colours keeps them.
 * @param {Element} old
 * @param {Element} now
 */
function sameCode(old, now) {
  const [before, after] = [old.firstElementChild, now.firstElementChild];
  return old.nodeName === "PRE" && old.textContent === now.textContent && before !== null && after !== null && sameAttributes(before, after);
}

/**
 * @param {Element} old
 * @param {Element} now
 */
function sameAttributes(old, now) {
  return old.attributes.length === now.attributes.length && [...now.attributes].every(({ name, value }) => old.getAttribute(name) === value);
}
