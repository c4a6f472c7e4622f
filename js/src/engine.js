/** What renders an answer; it travels once a page, see parts.js. */

import { keepSaved } from "./saved.js";
import css from "./widget.css";
import { View as AnyView } from "./view.js";

/** Documents and shadow roots that have our sheet. @type {WeakSet<Document | ShadowRoot>} */
const dressed = new WeakSet();

/** A view with its looks, in whatever document or shadow root the host has put it. */
export class View extends AnyView {
  /**
   * @param {ConstructorParameters<typeof AnyView>[0]} host
   * @param {HTMLElement} el
   * @param {AbortSignal} signal
   */
  constructor(host, el, signal) {
    super(host, el, signal);
    keepSaved(host.transport, this.root, signal);
    dress(el);
    // Hosts render first and put it into the page then.
    if (!el.isConnected) requestAnimationFrame(() => dress(el));
  }
}

/**
 * One sheet for all views. Made by a script where that is possible: some hosts' policy forbids a `<style>`.
 * @param {HTMLElement} el
 */
function dress(el) {
  const root = el.getRootNode();
  const place = root instanceof ShadowRoot ? root : document;
  if (dressed.has(place)) return;
  dressed.add(place);
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    place.adoptedStyleSheets = [...place.adoptedStyleSheets, sheet];
  } catch {
    const style = document.createElement("style"); // Safari before 16.4
    style.textContent = css;
    (place === document ? document.head : place).append(style);
  }
}
