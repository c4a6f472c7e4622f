/** Formulas as MathML: a part of the engine of its own, loaded with the first formula. */

import temml from "temml";

/** Longer ones are no formulas, and setting them would take seconds. */
const MOST_UNITS = 8_192;
/** `\href`, `\includegraphics`, `\class`, `\id`, `\style` and `\htmlData` are refused without trust. */
const OPTIONS = { throwOnError: true, trust: false, maxSize: /** @type {[number, number]} */ ([20, 500]), maxExpand: 500 };

const NAMESPACE = "http://www.w3.org/1998/Math/MathML";
const ELEMENTS = new Set(
  "math maction menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none semantics".split(" "),
);
const ATTRIBUTES = new Set(
  "accent accentunder columnalign columnlines columnspacing columnspan depth display displaystyle fence form height largeop linebreak linethickness lspace mathcolor mathsize mathvariant maxsize minsize movablelimits notation rowalign rowlines rowspacing rowspan rspace scriptlevel separator stretchy symmetric voffset width".split(" "),
);
const STYLES = new Set(
  "background-color border border-bottom border-left border-right border-style border-top border-width color direction display float font-family font-feature-settings font-size font-style font-weight height letter-spacing line-height margin margin-left margin-right margin-top margin-bottom math-depth math-shift math-style padding padding-bottom padding-left padding-right padding-top position text-align text-transform top vertical-align white-space width".split(" "),
);

/**
 * The formula as a `<math>` element, or null where it cannot be set; then its source is shown.
 * @param {string} tex
 * @param {boolean} display in a line of its own
 * @returns {Element | null}
 */
export function render(tex, display) {
  if (tex.length > MOST_UNITS) return null;
  try {
    const tree = /** @type {any} */ (temml.__renderToMathMLTree(tex, { ...OPTIONS, displayMode: display }));
    const math = copy(tree.toNode());
    math.setAttribute("display", display ? "block" : "inline");
    return math;
  } catch {
    return null; // no formula, or one nested too deep
  }
}

/**
 * Only what is MathML and harmless, whatever the library thinks of it: elements and attributes by name, no addresses.
 * @param {Element} from
 * @returns {Element}
 */
function copy(from) {
  if (from.namespaceURI !== NAMESPACE || !ELEMENTS.has(from.localName)) throw new Error(`<${from.localName}> in a formula`);
  const to = document.createElementNS(NAMESPACE, from.localName);
  for (const { name, value } of from.attributes) {
    if (ATTRIBUTES.has(name)) to.setAttribute(name, value);
    if (name === "class" && /^tml-[\w -]+$/.test(value)) to.setAttribute(name, value);
  }
  copyStyle(/** @type {any} */ (from).style, /** @type {any} */ (to).style);
  for (const child of from.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) to.append(document.createTextNode(child.nodeValue ?? ""));
    else if (child.nodeType === Node.ELEMENT_NODE) to.append(copy(/** @type {Element} */ (child)));
  }
  return to;
}

/**
 * @param {CSSStyleDeclaration | undefined} from
 * @param {CSSStyleDeclaration | undefined} to
 */
function copyStyle(from, to) {
  for (const name of from ?? []) {
    const value = from?.getPropertyValue(name) ?? "";
    // `position: relative` moves a sign by some tenths of an em; nothing may leave its place for good.
    if (STYLES.has(name) && !/url|fixed|absolute|sticky|[<>\\]/i.test(value)) to?.setProperty(name, value);
  }
}
