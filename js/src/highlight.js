/** Colours for code: a part of the engine of its own, loaded with the first block of code that has closed. */

import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

/** @typedef {{text: string, classes: string}} Span */

const LANGUAGES = { bash, cpp, css, diff, go, java, javascript, json, python, rust, sql, typescript, xml, yaml };
/** What models call them beyond highlight.js's own short names. */
const ALIASES = { cpp: ["c", "h"], bash: ["console", "shell", "shell-session", "terminal"], python: ["ipython", "python3", "py3"], json: ["jsonc", "json5", "jsonl"] };

for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
for (const [languageName, names] of Object.entries(ALIASES)) hljs.registerAliases(names, { languageName });

/** highlight.js's scopes, by their first word, in our few colours. @type {Record<string, string>} */
const CLASSES = {
  keyword: "keyword", literal: "literal", number: "number", string: "string", regexp: "string", char: "string",
  comment: "comment", doctag: "comment", quote: "comment", title: "name", section: "name", built_in: "builtin", type: "builtin",
  variable: "variable", "template-variable": "variable", property: "variable", attr: "attribute", attribute: "attribute",
  tag: "tag", name: "tag", "selector-tag": "tag", "selector-class": "attribute", "selector-id": "attribute", meta: "meta", symbol: "literal",
  bullet: "literal", link: "string", addition: "addition", deletion: "deletion",
};

/**
 * The code in pieces, each with the class of its colour or none; together they are the code. Null for a language we do
 * not know.
 * @param {string} code
 * @param {string} language as the fence names it
 * @returns {Span[] | null}
 */
export function highlight(code, language) {
  if (!hljs.getLanguage(language)) return null;
  const result = /** @type {any} */ (hljs.highlight(code, { language, ignoreIllegals: true }));
  /** @type {Span[]} */
  const spans = [];
  collect(result._emitter.rootNode, "", spans);
  return spans.reduce((length, { text }) => length + text.length, 0) === code.length ? spans : null;
}

/**
 * @param {{scope?: string, children: any[]}} node
 * @param {string} inherited
 * @param {Span[]} spans
 */
function collect({ scope, children }, inherited, spans) {
  const own = CLASSES[scope?.split(".", 1)[0] ?? ""];
  const classes = own ? `nbstream-code-${own}` : scope === "subst" ? "" : inherited;
  for (const child of children) {
    if (typeof child !== "string") collect(child, classes, spans);
    else {
      const last = spans.at(-1);
      if (last?.classes === classes) last.text += child;
      else spans.push({ text: child, classes });
    }
  }
}
