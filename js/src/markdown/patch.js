/** The open end is made anew on every paint; what is the same keeps its nodes, so a selection in it survives. */

/**
 * @param {Node} parent
 * @param {Node} now holds the children that `parent` shall have; is emptied
 */
export function patch(parent, now) {
  const fresh = [...now.childNodes];
  for (const [i, node] of fresh.entries()) {
    const old = parent.childNodes[i];
    if (!old) parent.appendChild(node);
    else if (!update(old, node)) parent.replaceChild(node, old);
  }
  while (parent.childNodes.length > fresh.length) parent.lastChild?.remove();
}

/**
 * @param {Node} old
 * @param {Node} now
 * @returns {boolean} whether `old` is like `now` after it
 */
function update(old, now) {
  if (old.nodeName !== now.nodeName) return false;
  if (old instanceof Text && now instanceof Text) {
    if (old.data === now.data) return true;
    if (now.data.startsWith(old.data)) old.appendData(now.data.slice(old.length));
    else old.data = now.data;
    return true;
  }
  // Attributes of one kind of element differ rarely; a button has a listener of its own.
  if (!(old instanceof Element) || !(now instanceof Element) || old.nodeName === "BUTTON" || !sameAttributes(old, now)) return old.isEqualNode(now);
  patch(old, now);
  return true;
}

/**
 * @param {Element} old
 * @param {Element} now
 */
function sameAttributes(old, now) {
  return old.attributes.length === now.attributes.length && [...now.attributes].every(({ name, value }) => old.getAttribute(name) === value);
}
