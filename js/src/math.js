/** Formulas as MathML: a part of the engine of its own, loaded with the first formula. */

import temml from "temml";

/** Longer ones are no formulas, and setting them would take seconds. */
const MOST_UNITS = 8_192;
/** Temml shows a command it does not know in this colour, even where it shall throw. */
const UNKNOWN = "#010203";
/** `\href`, `\includegraphics`, `\class`, `\id`, `\style` and `\htmlData` are refused without trust. */
const OPTIONS = { throwOnError: true, errorColor: UNKNOWN, trust: false, maxSize: /** @type {[number, number]} */ ([20, 500]), maxExpand: 500 };

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
    const math = /** @type {Element} */ (made(temml.__renderToMathMLTree(tex, { ...OPTIONS, displayMode: display })));
    math.setAttribute("display", display ? "block" : "inline");
    return math;
  } catch {
    return null; // no formula, or one nested too deep
  }
}

/** @typedef {{type?: string, text?: string, attributes?: Record<string, unknown>, classes?: string[], style?: Record<string, string>, children?: TemmlNode[]}} TemmlNode */

/**
 * Temml's tree as elements: only what is MathML and harmless, by name, whatever the library thinks of it. Addresses have
 * no name here.
 * @param {TemmlNode} node
 * @returns {Node}
 */
function made(node) {
  if (typeof node.text === "string" && !node.children) return document.createTextNode(node.text);
  const el = node.type === undefined && !node.attributes ? document.createDocumentFragment() : elementFor(node);
  for (const child of node.children ?? []) el.appendChild(made(child));
  return el;
}

/** @param {TemmlNode} node */
function elementFor({ type, attributes = {}, classes = [], style = {} }) {
  if (!type || !ELEMENTS.has(type)) throw new Error(`<${type}> in a formula`);
  if (attributes.mathcolor === UNKNOWN || style.color === UNKNOWN) throw new Error("an unknown command");
  const el = document.createElementNS(NAMESPACE, type);
  for (const [name, value] of Object.entries(attributes)) if (ATTRIBUTES.has(name)) el.setAttribute(name, String(value));
  const own = classes.filter((name) => /^tml-[\w-]+$/.test(name));
  if (own.length > 0) el.setAttribute("class", own.join(" "));
  for (const [camel, value] of Object.entries(style)) {
    const name = camel.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    // `position: relative` moves a sign by some tenths of an em; nothing may leave its place for good.
    if (STYLES.has(name) && !/url|fixed|absolute|sticky|[<>\\]/i.test(value)) /** @type {any} */ (el).style?.setProperty(name, value);
  }
  return el;
}
