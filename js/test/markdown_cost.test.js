import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { bundled, Sheet } from "../testing/page.js";

const { Markdown, parser } = await bundled("testing/engine.js");

/** Characters that the parser was given, for blocks and for what stands in them. */
let parsed = 0;
for (const part of [parser.block, parser.inline]) {
  const { parse } = part;
  part.parse = function (text, ...rest) {
    parsed += text.length;
    return parse.call(this, text, ...rest);
  };
}

const LONG = {
  list: (i) => `- item ${i} with *some* text and \`code\` in it that goes on for a while\n`,
  "loose list": (i) => `${i + 1}. item ${i} with *some* text\n\n   and a second paragraph\n\n`,
  "nested list": (i) => `${i ? "" : "- a\n"}  - item ${i} with *some* text and \`code\` in it\n`,
  "one item": (i) => `${i ? "" : "1. a\n\n"}   Paragraph ${i} of one item, with *some* text\n\n`,
  table: (i) => `${i ? "" : "| a | b | c |\n|---|:-:|--:|\n"}| cell ${i} | *x* | something longer here |\n`,
  fence: (i) => `${i ? "" : "```js\n"}const x${i} = "some code here";\n`,
  "fence in an item": (i) => `${i ? "" : "1. a\n\n   ```js\n"}   const x${i} = "some code here";\n`,
  "code by indentation": (i) => `    const x${i} = "some code here";\n`,
  paragraph: (i) => `Some *words* number ${i} in one long paragraph without an end\n`,
  "one line": (i) => `Some *words* number ${i} in one long line without an end `,
  "one line of code": (i) => `${i ? "" : "```json\n"}{"a": ${i}}, `,
  "one word": () => "abcdefghijklmnopqrstuvwxyz",
  quote: (i) => `> Some *words* number ${i} in one long quote without an end\n`,
  "quote of paragraphs": (i) => `> Some *words* number ${i}\n>\n`,
  definitions: (i) => `[label ${i}]: https://x.test/${i} "title"\n`,
  "list of definitions": (i) => `- [${i}]: https://x.test/paper/${i} "A title"\n`,
  "blank lines": (i) => (i ? "\n" : "Answer.\n\n"),
  "list below an item with a tab": (i) => `${i ? "" : "-\ttop\n"}\t-\titem ${i} with *some* text in it\n`,
  "list nested 13 deep": (i) => (i < 13 ? `${"  ".repeat(i)}- a\n` : `${"  ".repeat(13)}- item ${i} with *some* text\n`),
  "list in a quote with a tab": (i) => `${i ? "" : ">\t- a\n"}>\t  - item ${i} with *some* text\n`,
  prose: (i) => `## Head ${i}\n\nSome *text* with \`code\` and a [link](https://x.test).\n\n- one\n- two\n\n`,
};

for (const [name, line] of Object.entries(LONG)) {
  test(`${name}: a paint costs the same at 100 KB as at its beginning, and no piece is large`, () => {
    const sheet = new Sheet();
    sheet.append = function (piece) {
      this.pieces.push(piece); // 2,000 neighbours are slow in jsdom, and not what is counted here
    };
    const markdown = new Markdown(sheet);
    let text = "";
    for (let i = 0; text.length < 100_000; i++) text += line(i);
    const costs = [];
    for (let at = 0; at < text.length; at += 500) {
      parsed = 0;
      markdown.write(text.slice(at, at + 500));
      markdown.paint();
      costs.push(parsed);
    }
    // Twenty paints are 10 KB, more than a piece: the saw's teeth are averaged out.
    const mean = (part) => part.reduce((sum, cost) => sum + cost, 0) / part.length;
    const [first, last] = [mean(costs.slice(20, 60)), mean(costs.slice(-40))];
    assert.ok(last < 1.5 * first + 500, `${Math.round(first)} characters a paint at first, ${Math.round(last)} at the end`);
    assert.ok(Math.max(...costs) < 60_000, `${Math.max(...costs)} characters in one paint`);
    const longest = Math.max(...sheet.pieces.map((piece) => piece.source.length));
    assert.ok(longest <= 8_192, `a piece of ${longest}`);
    for (const { el } of sheet.pieces) for (const parent of el.querySelectorAll("ul, ol, tbody, li, blockquote")) assert.ok(parent.childElementCount <= 65);
  });
}

test("hostile input costs no more than its length, ten times over", () => {
  const n = 6_000;
  const probes = ["[", "![", "*", "_", "**a", "*a ", "`", "~", "$", "$a", "\\(", "\\[\n", "$$\n", ">", "> ", "- ", "1. ", "<", "<sub>", "&a;", "[a](", "[a](<b", "[a]: b\n", "|", "a|", "|-", "https://", "www.", "a@b.", "http://x.test/(", "\\", "# ", "a\n\n", "```\n", "- a\n\n", "[x]\n", "> - "].map((scrap) => [scrap, scrap.repeat(n / scrap.length)]);
  probes.push(["backticks of every length", Array.from({ length: 140 }, (_, i) => "`".repeat(i)).join("a")], ["nested", Array.from({ length: 140 }, (_, i) => `${"  ".repeat(i)}- a\n`).join("")]);
  for (const [name, probe] of probes) {
    const markdown = new Markdown(new Sheet());
    parsed = 0;
    const before = process.cpuUsage().user;
    for (let at = 0; at < probe.length; at += 1_000) {
      markdown.write(probe.slice(at, at + 1_000));
      markdown.paint();
    }
    markdown.end();
    const ms = (process.cpuUsage().user - before) / 1_000;
    // A quadratic rule takes minutes here, a paint of ten thousand blocks in jsdom up to a second.
    assert.ok(ms < 10_000, `${JSON.stringify(name)}: ${Math.round(ms)} ms`);
    assert.ok(parsed < 40 * probe.length + 500_000, `${JSON.stringify(name)}: ${parsed} characters parsed`);
  }
});

test("a piece that is left out costs less than 160 bytes, whatever it waits for", async () => {
  setFlagsFromString("--expose_gc");
  const gc = runInNewContext("gc");
  /** A page of a very long text: all of it is left out. */
  class Blank extends Sheet {
    append(piece) {
      this.pieces.push(piece);
      piece.el = null;
      piece.source = "";
    }
  }
  const used = async () => {
    await new Promise((resolve) => setTimeout(resolve, 20)); // jsdom lets go of elements when nothing runs
    gc();
    return process.memoryUsage().heapUsed;
  };
  const sheet = new Blank();
  const markdown = new Markdown(sheet);
  const before = await used();
  for (let i = 0; i < 20_000; i++) {
    markdown.write(`[2026-11-29 ${i}] request ${i} took 12 ms [id-${i}]\n\n`);
    if (i % 100 === 0) markdown.paint();
    if (i % 2_000 === 0) await used();
  }
  markdown.paint();
  const each = (await used() - before) / sheet.pieces.length;
  assert.ok(sheet.pieces.length > 19_000 && each < 160, `${Math.round(each)} bytes`);
});

test("1 MB without a line end is cut into pieces, in linear work", () => {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  parsed = 0;
  for (let at = 0; at < 1_000_000; at += 20_000) {
    markdown.write("x".repeat(20_000));
    markdown.paint();
  }
  assert.equal(sheet.pieces.map((piece) => piece.source).join("").length + sheet.tail.textContent.length, 1_000_000);
  assert.ok(sheet.pieces.length > 200 && parsed < 20_000_000, `${parsed} characters parsed`);
});
