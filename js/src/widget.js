/** What the widget host calls; all else is independent of it. */

import { keepSaved } from "./saved.js";
import { View } from "./view.js";

/** @typedef {import("./transport.js").Model} Model */

/**
 * @param {{model: Model, el: HTMLElement}} host
 * @returns {() => void} ends the view
 */
function render({ model, el }) {
  const owner = new AbortController();
  new View(model, el, owner.signal);
  keepSaved(model, el, owner.signal);
  return () => owner.abort();
}

export default { render };
