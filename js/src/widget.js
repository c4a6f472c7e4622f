/** What the widget host calls; all else is independent of it. */

import { View } from "./view.js";

/** @typedef {import("./transport.js").Model} Model */
/** @typedef {import("./records.js").Page} Page */

/**
 * The first page travels with the display and may come before the view exists; until the first view takes it, it is
 * kept here by comm id.
 * @type {Map<string, Page | null>}
 */
const early = new Map();

/** @param {Model} model */
const commOf = (model) => String(model.get("comm") ?? "");

/** @param {{model: Model}} host */
function initialize({ model }) {
  const comm = commOf(model);
  const keep = (/** @type {unknown} */ message) => {
    const page = /** @type {Page} */ (message);
    if (early.has(comm) && page?.type === "page" && page.after === -1) early.set(comm, page);
  };
  early.set(comm, null);
  model.on("msg:custom", keep);
  return () => {
    model.off("msg:custom", keep);
    early.delete(comm);
  };
}

/** @param {{model: Model, el: HTMLElement}} host */
function render({ model, el }) {
  const owner = new AbortController();
  const comm = commOf(model);
  const first = early.get(comm) ?? null;
  early.delete(comm);
  new View(model, el, { first, signal: owner.signal });
  return () => owner.abort();
}

export default { initialize, render };
