/** What the page has no need of in the packages it brings along, and what stands for it in the bundle. */

import { readFile } from "node:fs/promises";

/** Whole packages (esbuild's `alias`). */
export const alias = {
  entities: "./src/markdown/slim/entities.js",
  "linkify-it": "./src/markdown/slim/autolinks.js",
  "punycode.js": "./src/markdown/slim/hostnames.js",
  "uc.micro": "./src/markdown/slim/punctuation.js",
};

/** Parts of markdown-it's one file: its renderer, HTML and typography, which are off, and helpers for old browsers. */
const UNUSED = {
  "\\0@oxc-project+runtime@0.154.0/helpers/esm/typeof.js": "",
  "\\0@oxc-project+runtime@0.154.0/helpers/esm/toPrimitive.js": "",
  "\\0@oxc-project+runtime@0.154.0/helpers/esm/toPropertyKey.js": "",
  "\\0@oxc-project+runtime@0.154.0/helpers/esm/defineProperty.js": "var _defineProperty = (object, name, value) => (object[name] = value);",
  "src/renderer.ts": "var Renderer = class {};",
  "src/rules_core/replacements.ts": "function replace() {}",
  "src/rules_core/smartquotes.ts": "function smartquotes() {}",
  "src/common/html_blocks.ts": "",
  "src/common/html_re.ts": "",
  "src/rules_block/html_block.ts": "var html_block = () => false;",
  "src/rules_inline/html_inline.ts": "var html_inline = () => false;",
};

/** @type {import("esbuild").Plugin} */
export const slim = {
  name: "slim",
  setup(build) {
    build.onLoad({ filter: /markdown-it[\\/]dist[\\/]markdown-it\.mjs$/ }, async ({ path }) => {
      let text = await readFile(path, "utf8");
      for (const [region, stub] of Object.entries(UNUSED)) {
        const begin = text.indexOf(`//#region ${region}\n`);
        if (begin < 0) throw new Error(`markdown-it has no ${region} any more`);
        text = text.slice(0, begin) + stub + text.slice(text.indexOf("//#endregion", begin));
      }
      return { contents: text };
    });
  },
};
