/** What renders an answer; it travels once a page, see parts.js. */

import css from "./widget.css";
import { View as AnyView } from "./view.js";

/** One sheet for all views: a `<style>` is forbidden by some hosts' policy, a sheet made by a script is not. */
const sheet = new CSSStyleSheet();
sheet.replaceSync(css);

/** A view with its looks, in whatever document or shadow root the host has put it. */
export class View extends AnyView {
  /**
   * @param {ConstructorParameters<typeof AnyView>[0]} host
   * @param {HTMLElement} el
   * @param {AbortSignal} signal
   */
  constructor(host, el, signal) {
    super(host, el, signal);
    dress(el);
    // Hosts render first and put it into the page then.
    if (!el.isConnected) requestAnimationFrame(() => dress(el));
  }
}

/** @param {HTMLElement} el */
function dress(el) {
  const root = el.getRootNode();
  const place = root instanceof ShadowRoot ? root : document;
  if (!place.adoptedStyleSheets.includes(sheet)) place.adoptedStyleSheets.push(sheet);
}
