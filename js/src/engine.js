/** What renders an answer; it travels once a page, see parts.js. */

import { dress } from "./dress.js";
import { keepSaved } from "./saved.js";
import css from "./widget.css";
import { View as AnyView } from "./view.js";

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
    dress(el, css);
    // Hosts render first and put it into the page then.
    if (!el.isConnected) requestAnimationFrame(() => dress(el, css));
  }
}
