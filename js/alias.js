/** Packages that the page has no need of, and what stands for them in the bundle (esbuild's `alias`). */

export const alias = {
  entities: "./src/markdown/slim/entities.js",
  "linkify-it": "./src/markdown/slim/autolinks.js",
  "punycode.js": "./src/markdown/slim/hostnames.js",
  "uc.micro": "./src/markdown/slim/punctuation.js",
};
