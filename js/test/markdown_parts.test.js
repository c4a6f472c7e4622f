import assert from "node:assert/strict";
import { test } from "node:test";

import { bundled, randomNumbers, Sheet } from "../testing/page.js";

const { Markdown } = await bundled("src/markdown/markdown.js");
const { highlight } = await bundled("src/highlight.js");
const { render } = await bundled("src/math.js");

/** Parts that come when the test lets them. */
class Parts {
  loaded = [];
  #come;
  #ready = new Promise((resolve) => (this.#come = resolve));

  async load(name) {
    this.loaded.push(name);
    await this.#ready;
    return { highlight, render };
  }

  come() {
    this.#come();
  }
}

/** Work for idle time and promises is done. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

const PYTHON = 'def f(x: int) -> str:\n    """A docstring\n    of two lines"""\n    return f"{x} units"  # why\n';

function paper(text, parts = new Parts()) {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet, parts);
  for (let at = 0; at < text.length; at += 50) {
    markdown.write(text.slice(at, at + 50));
    markdown.paint();
  }
  return { sheet, markdown, parts };
}

test("code gets its colours once its fence has closed, and keeps its text", async () => {
  const { sheet, markdown, parts } = paper(`\`\`\`python\n${PYTHON}`);
  await settled();
  assert.deepEqual(parts.loaded, [], "it is plain while it is open");
  markdown.write("```\n\nafter\n\n");
  markdown.paint();
  parts.come();
  await settled();
  const code = sheet.root.querySelector("pre > code");
  assert.equal(code.textContent, PYTHON);
  assert.equal(code.querySelector(".nbstream-code-keyword").textContent, "def");
  assert.equal(code.querySelector(".nbstream-code-comment").textContent, "# why");
});

test("code that is the last of a text gets its colours at its end", async () => {
  const { sheet, markdown, parts } = paper(`\`\`\`py\n${PYTHON}\`\`\``);
  parts.come();
  markdown.end();
  await settled();
  markdown.paint();
  assert.equal(sheet.tail.querySelector(".nbstream-code-keyword").textContent, "def", "a paint without news changes nothing");
  markdown.write("\n\nand more\n");
  markdown.end();
  await settled();
  assert.equal(sheet.root.querySelectorAll("code")[0].textContent, PYTHON);
});

test("code in several pieces is coloured as one: a docstring over 100 lines is a string to its end", async () => {
  const docstring = `"""${Array.from({ length: 100 }, (_, i) => `line ${i}`).join("\n")}"""`;
  const { sheet, parts } = paper(`\`\`\`python\nx = ${docstring}\ny = 1\n\`\`\`\n\nafter\n\n`);
  parts.come();
  await settled();
  const codes = [...sheet.root.querySelectorAll("pre > code")];
  assert.equal(codes.length, 2);
  assert.equal(codes[1].firstElementChild.className, "nbstream-code-string");
  assert.match(codes[1].firstElementChild.textContent, /line 99"""$/);
  assert.equal(codes.map((code) => code.textContent).join(""), `x = ${docstring}\ny = 1\n`);
});

test("of an open fence too long for colours nothing is kept, and all of it stays plain", async () => {
  const joins = [];
  const parts = { load: async () => ({ highlight: (code) => void joins.push(code.length) }) };
  const { sheet, markdown } = paper(`\`\`\`python\n${"x = 1  # a line of code\n".repeat(10_000)}`, parts);
  const released = sheet.pieces.map((piece) => {
    const read = { count: 0 };
    const code = piece.el.querySelector("code");
    Object.defineProperty(code, "textContent", { get: () => (read.count++, "") });
    return read;
  });
  markdown.write("y = 2\n```\n\nafter\n\n");
  markdown.paint();
  await settled();
  assert.ok(released.length > 50 && released.every(({ count }) => count === 0), "its segments are not read again");
  assert.deepEqual(joins, []);
});

test("code is coloured a segment at a time, and not above 16 KB: no task is long", async (t) => {
  /** @type {(() => void)[]} */
  const waiting = [];
  globalThis.requestIdleCallback = (run) => waiting.push(run);
  t.after(() => delete globalThis.requestIdleCallback);
  const line = "x = 1  # why\n";
  const coloured = async (count) => {
    const { sheet, parts } = paper(`\`\`\`python\n${line.repeat(count)}\`\`\`\n\nafter\n\n`);
    parts.come();
    const steps = [];
    while (waiting.length > 0) {
      waiting.shift()();
      await settled();
      steps.push(sheet.root.querySelectorAll("code:has(span)").length);
    }
    return steps;
  };
  assert.deepEqual(await coloured(192), [1, 2, 3, 4, 4], "the last turn finds nothing left to do");
  assert.ok((await coloured(Math.floor(16_384 / line.length))).at(-1) > 15);
  assert.deepEqual(await coloured(Math.ceil(16_385 / line.length)), []);
});

test("colours never change a text, in any language we know; unknown ones and long ones stay plain", () => {
  const random = randomNumbers();
  const scraps = ["<a href='x'>", "def f():", '"', "'", "`", "${x}", "{{", "}}", "/*", "*/", "//", "#", "\n", "  ", "<!--", "-->", "+x\n", "-y\n", "@@ -1 +1 @@\n", "$x", "select * from t;", "😀", "\t", "key: 1", "<?php", "\\", "r#\"", "fn x<'a>()"];
  for (const language of ["python", "js", "ts", "json", "bash", "sql", "html", "xml", "css", "yaml", "java", "c", "cpp", "go", "rust", "diff", "console", "PYTHON", "jsx"]) {
    for (let i = 0; i < 40; i++) {
      const code = Array.from({ length: random(40) }, () => scraps[random(scraps.length)]).join("");
      const spans = highlight(code, language);
      assert.equal(spans.map(({ text }) => text).join(""), code, language);
      for (const { classes } of spans) assert.match(classes, /^(?:nbstream-code-[a-z]+)?$/);
    }
  }
  assert.equal(highlight("x", "mermaid"), null);
  assert.equal(highlight("x", "constructor"), null);
});

test("without parts, or when they do not come, code is plain and a formula shows its source", async () => {
  const failing = { load: async () => Promise.reject(new Error("gone")) };
  const { sheet, markdown } = paper("$x^2$\n\n```python\nx\n```\n\n$$\ny\n$$\n", failing);
  markdown.end();
  await settled();
  assert.equal(sheet.root.textContent, "$x^2$x\n$$\ny\n$$");
});

test("formulas are set when the part has come, at once from then on, and keep their source", async () => {
  const { sheet, markdown, parts } = paper("so $x^2$ is\n\n$$\n\\frac{a}{b}\n$$\n\nend $");
  assert.equal(sheet.root.querySelector("math"), null);
  assert.ok(parts.loaded.every((name) => name === "math") && parts.loaded.length === 1);
  parts.come();
  await settled();
  const maths = [...sheet.root.querySelectorAll("math")];
  assert.deepEqual(maths.map((math) => math.getAttribute("display")), ["inline", "block"]);
  assert.deepEqual(maths.map((math) => math.parentElement.dataset.source), ["$x^2$", "$$\n\\frac{a}{b}\n$$"]);
  assert.ok(maths[1].querySelector("mfrac"));
  markdown.write("y$ and $\\oops$");
  markdown.paint();
  assert.equal(sheet.tail.lastElementChild.querySelectorAll("math").length, 1);
  assert.match(sheet.tail.textContent, /\$\\oops\$$/, "what is no formula shows its source");
});

test("no formula brings an address, a class, an id, a handler or HTML into the page", () => {
  const probes = [
    "\\href{javascript:alert(1)}{x}", "\\href{https://x.test}{x}", "\\url{https://x.test}", "\\includegraphics{https://x.test/i.png}", "\\class{jp-Button}{x}", "\\id{x}{y}", "\\style{position:fixed}{x}",
    "\\htmlData{a=b}{x}", "\\data{a=b}{x}", "\\htmlClass{a}{b}", "\\text{<img src=x onerror=alert(1)>}", "\\color{red;background:url(https://x.test)}x", "\\colorbox{url(x)}{y}", "\\label{x} y", "\\tag{<b>}x", "\\unicode{x3c}",
    "\\def\\x{\\x\\x}\\x", "\\rule{9999em}{9999em}", "\\hspace{-9999em}x", "\\raise{9999em}{x}", `${"{".repeat(4_000)}x`, "\\begin{matrix}a&b\\\\c&d\\end{matrix}", "\\textcolor{#ff0000}{x}", "\\sqrt[3]{x}", "\\ce{H2O}", "\\cancel{x}", "\\boxed{x}", "\\overbrace{a}^{b}",
  ];
  const set = [];
  for (const probe of probes) {
    const math = render(probe, true);
    if (!math) continue;
    set.push(probe);
    for (const el of [math, ...math.querySelectorAll("*")]) {
      assert.equal(el.namespaceURI, "http://www.w3.org/1998/Math/MathML", probe);
      for (const { name, value } of el.attributes) {
        assert.doesNotMatch(name, /^(?:on|href|src|id|data-|xlink)/, probe);
        assert.doesNotMatch(value, /javascript|url\(|https?:/i, probe);
        if (name === "class") assert.match(value, /^tml-/, probe);
      }
    }
  }
  for (const good of ["\\begin{matrix}a&b\\\\c&d\\end{matrix}", "\\sqrt[3]{x}", "\\boxed{x}", "\\overbrace{a}^{b}", "\\textcolor{#ff0000}{x}"]) assert.ok(set.includes(good), good);
  for (const bad of ["\\href{https://x.test}{x}", "\\includegraphics{https://x.test/i.png}", "\\class{jp-Button}{x}", "\\def\\x{\\x\\x}\\x"]) assert.ok(!set.includes(bad), bad);
});
