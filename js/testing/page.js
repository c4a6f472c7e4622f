/** The renderer as it is bundled, in a DOM of jsdom; and a page in a normal form that tests can compare. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import esbuild from "esbuild";

import { alias, slim } from "../alias.js";
import "./dom.js";

/**
 * A module of src, with the packages it brings along exchanged as in the bundle.
 * @param {string} entry
 */
export async function bundled(entry) {
  const folder = await mkdtemp(join(tmpdir(), "nbstream-"));
  try {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: join(dirname(fileURLToPath(import.meta.url)), ".."), entryPoints: [entry], alias, plugins: [slim], bundle: true, format: "esm", target: "es2022", charset: "utf8", write: false,
    });
    const file = join(folder, "module.mjs");
    await writeFile(file, outputFiles[0].text);
    return await import(pathToFileURL(file).href);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A place for a document, with everything in one element. */
export class Sheet {
  root = document.createElement("div");
  tail = this.root.appendChild(document.createElement("div"));
  pieces = [];

  append(piece) {
    this.pieces.push(piece);
    this.tail.before(piece.el);
  }

  /** What stands on the page, pieces and open end. */
  get nodes() {
    return [...this.pieces.map((piece) => piece.el), ...this.tail.childNodes];
  }
}

const BLOCKS = new Set(["P", "UL", "OL", "LI", "BLOCKQUOTE", "PRE", "HR", "TABLE", "THEAD", "TBODY", "TR", "TH", "TD", "H1", "H2", "H3", "H4", "H5", "H6", "DIV"]);
const KEPT = ["href", "src", "alt", "start", "class", "title"];

/**
 * Nodes as nested arrays: segments of one container are one again, words of a tight list stand in their items.
 * @param {Iterable<Node>} nodes
 */
export function normal(nodes) {
  return children([...nodes].flatMap((node) => (node.className === "nbstream-several" ? [...node.childNodes] : [node])), { pre: false, tight: false });
}

/** Of an element: `tight` of a list and its items, whose paragraphs are only their words. */
function children(nodes, { pre, tight }, unwrap = false) {
  const list = [];
  for (const node of merged(nodes)) {
    if (node.type === "text") list.push(node.text);
    else if (node.tag === "frame") list.push(...children(node.nodes, { pre, tight: false }));
    else if (unwrap && node.tag === "p") list.push(...children(node.nodes, { pre, tight: false }));
    else if (node.tag === "li") list.push([node.tag, node.attributes, ...children(node.nodes, { pre, tight: false }, tight)]);
    else list.push([node.tag, node.attributes, ...children(node.nodes, { pre: pre || node.tag === "pre", tight: !node.loose })]);
  }
  const texts = [];
  for (const child of list) {
    if (typeof child === "string" && typeof texts.at(-1) === "string") texts.push(texts.pop() + child);
    else texts.push(child);
  }
  if (pre) return texts;
  const blocks = texts.some((child) => typeof child !== "string" && BLOCKS.has(child[0].toUpperCase()));
  return texts.map((child) => (typeof child === "string" && blocks ? child.replace(/^\n+|\n+$/g, "") : child)).filter((child) => child !== "" && (typeof child !== "string" || child.trim() || !blocks));
}

/** Elements whose segments go on are one with what went on. */
function merged(nodes) {
  const list = [];
  for (const node of nodes) {
    const { nodeType } = node;
    // A break in the line and the line's end behind it are one.
    if (nodeType === 3) list.push({ type: "text", text: list.at(-1)?.tag === "br" ? node.data.replace(/^\n/, "") : node.data });
    if (nodeType !== 1 || node.tagName === "COLGROUP") continue;
    const last = list.at(-1);
    const now = describe(node);
    if (!now.wentOn) list.push(now);
    else if (!last?.goesOn || last.tag !== now.tag) throw new Error(`<${now.tag}> goes on from nothing: ${node.outerHTML}`);
    else Object.assign(last, { nodes: [...last.nodes, ...now.nodes], goesOn: now.goesOn, loose: last.loose || now.loose });
  }
  return list;
}

function describe(el) {
  const attributes = {};
  if (el.dataset.href !== undefined) attributes.href = el.dataset.href;
  for (const name of KEPT) if (el.hasAttribute(name)) attributes[name] = el.getAttribute(name);
  // An address with a scheme that is not on our list leads nowhere, by choice.
  if (/^(?!(?:https?|mailto):)[^/?#]*:/i.test(attributes.href ?? "")) delete attributes.href;
  if (attributes.class && !/^language-/.test(attributes.class)) delete attributes.class;
  const align = /^text-align: ?(\w+)/.exec(el.getAttribute("style") ?? "")?.[1] ?? el.getAttribute("align");
  if (align) attributes.align = align;
  let tag = el.tagName.toLowerCase();
  if (tag === "div" && el.className.includes("nbstream-table")) tag = "frame";
  if (tag === "input") attributes.checked = el.hasAttribute("checked");
  if (el.className === "nbstream-image") {
    tag = "img";
    const { title } = attributes;
    for (const name of Object.keys(attributes)) delete attributes[name];
    Object.assign(attributes, { src: el.dataset.src, alt: el.dataset.alt }, title && { title });
  }
  const classes = el.className;
  const has = (name) => classes.includes(name);
  return { type: "element", tag, attributes, nodes: [...el.childNodes], goesOn: has("nbstream-goes-on"), wentOn: has("nbstream-went-on"), loose: has("nbstream-loose") };
}

/** Small repeatable random numbers (mulberry32); the seed is printed, and set by NBSTREAM_SEED. */
export function randomNumbers() {
  let seed = Number(process.env.NBSTREAM_SEED ?? Date.now() % 1e9);
  console.log(`NBSTREAM_SEED=${seed}`);
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
