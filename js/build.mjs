/**
 * Bundles the page's side into src/nbstream/view/static: the loader, and the parts it asks for by version and hash of
 * their content. The same sources give the same bytes; the folder holds nothing else.
 */

import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import esbuild from "esbuild";
import { alias, lean } from "./alias.js";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = join(HERE, "..", "src", "nbstream", "view", "static");
const VERSION = join(HERE, "..", "src", "nbstream", "version.py");
const PARTS = ["engine", "find", "highlight", "math", "pictures"];
/** @type {import("esbuild").BuildOptions} */
const OPTIONS = {
  absWorkingDir: HERE,
  bundle: true,
  charset: "utf8",
  format: "esm",
  legalComments: "external",
  alias,
  logLevel: "warning",
  metafile: true,
  minify: true,
  outdir: OUT,
  // What packages say to who builds with them; errors of ours stay.
  pure: ["console.log", "console.warn"],
  target: "es2022",
  write: false,
};

/** A style sheet that a script imports becomes its minified text. */
const cssText = {
  name: "css-text",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { outputFiles } = await esbuild.build({ bundle: true, entryPoints: [path], minify: true, target: "es2022", write: false });
      return { contents: /** @type {any} */ (outputFiles[0]).text.trim(), loader: "text" };
    });
  },
};

/** @type {Map<string, string>} */
const files = new Map();
const comments = new Set();
const packages = new Set();

/** @param {import("esbuild").BuildOptions} options */
async function build(options) {
  const { outputFiles, metafile } = await esbuild.build({ ...OPTIONS, ...options });
  for (const file of outputFiles) {
    if (file.path.endsWith(".LEGAL.txt")) comments.add(file.text.trim());
    else files.set(basename(file.path), file.text);
  }
  for (const output of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[0];
      if (name && bytesInOutput > 0) packages.add(name);
    }
  }
}

/** The licence files of everything that is bundled, then what its sources say of themselves. */
async function licences() {
  const texts = [];
  for (const folder of [...packages].sort()) {
    const { name, version } = JSON.parse(await readFile(join(HERE, folder, "package.json"), "utf8"));
    const found = (await readdir(join(HERE, folder))).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort();
    if (found.length === 0) throw new Error(`${folder} has no licence file`);
    for (const file of found) {
      const text = await readFile(join(HERE, folder, file), "utf8");
      texts.push(`${name} ${version}\n\n${text.replaceAll("\r\n", "\n").trim()}`);
    }
  }
  return [...texts, ...[...comments].sort()].map((text) => `${text}\n`).join(`\n${"-".repeat(80)}\n\n`);
}

await build({ entryPoints: PARTS.map((name) => `src/${name}.js`), plugins: [cssText, lean] });
const hash = createHash("sha256");
for (const name of PARTS) hash.update(/** @type {string} */ (files.get(`${name}.js`)));
const [, version] = /** @type {string[]} */ (/__version__.*"(.+)"/.exec(await readFile(VERSION, "utf8")));
// src/nbstream/view/code.py counts it in the same way.
const known = `${version}-${hash.digest("hex").slice(0, 12)}`;
await build({ entryPoints: ["src/widget.js"], define: { NBSTREAM_BUILD: JSON.stringify(known) } });
await build({ entryPoints: [{ in: "src/plain.css", out: "widget" }] });
files.set("licenses.txt", await licences());

await mkdir(OUT, { recursive: true });
for (const name of await readdir(OUT)) if (!files.has(name)) await rm(join(OUT, name), { recursive: true });
for (const [name, text] of files) await writeFile(join(OUT, name), text);
for (const [name, text] of files) {
  console.log(`${name.padEnd(14)} ${String(Buffer.byteLength(text)).padStart(8)} bytes ${String(gzipSync(text).length).padStart(8)} gz`);
}
