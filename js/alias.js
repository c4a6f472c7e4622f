/** What the page has no need of in the packages that are bundled. */

import { readFile } from "node:fs/promises";

/** Whole packages, and what stands for them (esbuild's `alias`). */
export const alias = {
  entities: "./src/markdown/slim/entities.js",
  "linkify-it": "./src/markdown/slim/autolinks.js",
  "punycode.js": "./src/markdown/slim/hostnames.js",
  "uc.micro": "./src/markdown/slim/punctuation.js",
};

/**
 * What of markdown-it the page never runs, by the regions that its own bundler has marked, and what stands for each: it
 * makes HTML of its tokens (we make elements), knows raw HTML, typography and other presets, and serves old browsers.
 */
const REGIONS = {
  "src/renderer.ts": "var Renderer = class {};",
  "src/rules_core/replacements.ts": "function replace() {}",
  "src/rules_core/smartquotes.ts": "function smartquotes() {}",
  "src/common/html_blocks.ts": "",
  "src/common/html_re.ts": "",
  "src/rules_block/html_block.ts": "function html_block() {}",
  "src/rules_inline/html_inline.ts": "function html_inline() {}",
  "\\0@oxc-project+runtime@0.154.0/helpers/esm/typeof.js": "",
  "\\0@oxc-project+runtime@0.154.0/helpers/esm/toPrimitive.js": "",
  "\\0@oxc-project+runtime@0.154.0/helpers/esm/toPropertyKey.js": "",
  "\\0@oxc-project+runtime@0.154.0/helpers/esm/defineProperty.js": "var _defineProperty = (e, r, t) => (e[r] = t, e);",
};
const PRESETS = /,\n\tzero: \{[^]*?(?=\n\};\nvar BAD_PROTO_RE)/;

/** @type {import("esbuild").Plugin} */
export const lean = {
  name: "lean",
  setup(build) {
    build.onLoad({ filter: /markdown-it[\\/]dist[\\/]markdown-it\.mjs$/ }, async ({ path }) => {
      let text = await readFile(path, "utf8");
      const cut = (/** @type {string | RegExp} */ what, /** @type {string} */ by) => {
        const without = text.replace(what, () => by);
        if (without === text) throw new Error(`markdown-it has no ${what} any more: see what the page needs of it`);
        text = without;
      };
      for (const [name, by] of Object.entries(REGIONS)) {
        const mark = `//#region ${name}\n`;
        const begin = text.indexOf(mark);
        cut(begin < 0 ? mark : text.slice(begin, text.indexOf("//#endregion", begin)), `${by}\n`);
      }
      cut(PRESETS, "");
      return { contents: text, loader: "js" };
    });
  },
};
