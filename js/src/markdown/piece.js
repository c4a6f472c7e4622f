/** One piece of a document, made of its source and its recipe: the same again whenever it is made. */

import { build, element } from "./elements.js";
import { parse } from "./parser.js";
import { References } from "./references.js";

/** @typedef {import("./open.js").Open} Open */
/** @typedef {import("./parser.js").Beginning} Beginning */
/**
 * What a piece is beside its source. Plain data; the `look` of a list is one object for all of its segments.
 * @typedef {Beginning & {starts: boolean, leaves: Open[]}} Recipe
 * `starts`: it begins with a top-level block, so parsing may begin anew there. `leaves`: what goes on behind it.
 */
/** @typedef {import("./elements.js").Context & {references?: Record<string, any>}} PieceContext */

/**
 * The element of a piece.
 * @param {string} source
 * @param {Recipe} recipe
 * @param {PieceContext} [context] without it there are no link definitions, no colours and no set formulas
 * @returns {HTMLElement}
 */
export function renderPiece(source, recipe, context = {}) {
  const fragment = render(source, recipe, context);
  const only = /** @type {HTMLElement | null} */ (fragment.firstElementChild);
  if (only && !only.nextElementSibling) return only;
  // Link definitions alone, or behind a quote that ends with one.
  const several = element("div", "nbstream-several");
  several.append(fragment);
  return several;
}

/**
 * @param {string} source
 * @param {Recipe} recipe
 * @param {PieceContext} context
 * @returns {DocumentFragment}
 */
export function render(source, recipe, context) {
  const fragment = build(parse(source, recipe, context.references ?? new References().forPiece()), context);
  markPiece(fragment, recipe);
  if (recipe.leaves.at(-1)?.type === "paragraph") keepJoint(fragment, source);
  return fragment;
}

/**
 * Say of what goes on in other pieces that it does, and how it looks by now.
 * @param {DocumentFragment | HTMLElement} piece
 * @param {Recipe} recipe
 */
export function markPiece(piece, recipe) {
  const single = piece instanceof Element && piece.className !== "nbstream-several" ? piece : null;
  mark(single ?? piece.firstElementChild, recipe.enters, "nbstream-went-on", "firstElementChild");
  mark(single ?? piece.lastElementChild, recipe.leaves, "nbstream-goes-on", "lastElementChild");
}

/**
 * @param {Element | null} first
 * @param {Open[]} path
 * @param {string} className
 * @param {"firstElementChild" | "lastElementChild"} side
 */
function mark(first, path, className, side) {
  let at = /** @type {HTMLElement | null} */ (first);
  for (const open of path) {
    if (!at) return;
    at.classList.add(className);
    at.classList.remove("nbstream-loose"); // always the last one: pieces made sooner or later are the same
    if (open.look?.loose || open.look?.looseAtEnd) at.classList.add("nbstream-loose");
    if (open.widths) fixWidths(at, open.widths);
    at = /** @type {HTMLElement | null} */ (at[side]);
  }
}

/**
 * @param {HTMLElement} frame
 * @param {number[]} widths in percent
 */
function fixWidths(frame, widths) {
  const table = frame.querySelector("table");
  if (!table || table.firstElementChild?.tagName === "COLGROUP") return;
  const columns = element("colgroup");
  for (const width of widths) columns.appendChild(element("col")).style.width = `${width}%`;
  table.prepend(columns);
  table.classList.add("nbstream-fixed");
}

/**
 * The words on both sides of a cut stay two words.
 * @param {DocumentFragment} fragment
 * @param {string} source
 */
function keepJoint(fragment, source) {
  let last = fragment.lastElementChild;
  while (last && last.tagName !== "P") last = last.lastElementChild;
  const joint = /\s$/.exec(source)?.[0];
  if (last && joint) last.append(document.createTextNode(joint === " " ? " " : "\n"));
}
