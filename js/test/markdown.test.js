import assert from "node:assert/strict";
import { test } from "node:test";

import { Blocks } from "../src/markdown/blocks.js";
import { parseInline, safeHref } from "../src/markdown/inline.js";

/** A block tree as nested arrays, short enough to write down in a table of cases. */
function plain(block) {
  const inline = (nodes) => nodes.map((n) => (n.type === "text" ? n.text : n.type === "break" ? ["br"] : n.type === "code" ? ["code", n.text] : n.type === "link" ? [n.image ? "image" : "a", n.href, ...inline(n.children)] : [n.type, ...inline(n.children)]));
  switch (block.type) {
    case "paragraph":
      return ["p", ...inline(parseInline(block.text))];
    case "heading":
      return [`h${block.level}`, ...inline(parseInline(block.text))];
    case "code":
      return ["pre", block.mark, block.text];
    case "rule":
      return ["hr"];
    case "list":
      return [(block.ordered ? `ol${block.level}` : "ul") + (block.loose ? " loose" : ""), ...block.children.map(plain)];
    case "item":
      return ["li", ...block.children.map(plain)];
    case "table":
      return ["table", block.align, ...block.children.map((row) => row.cells)];
    default:
      return [block.type, ...block.children.map(plain)];
  }
}

function tree(source) {
  const blocks = new Blocks();
  blocks.write(source);
  blocks.end();
  return plain(blocks.root).slice(1);
}

const p = (...inline) => ["p", ...inline];
const li = (...children) => ["li", ...children];

const CASES = {
  "paragraphs and soft breaks": ["one\n  two\n\nthree", [p("one\ntwo"), p("three")]],
  "hard breaks": ["one  \ntwo\\\nthree", [p("one", ["br"], "two", ["br"], "three")]],
  headings: ["# One #\n###### Six\n####### no\n#no\n# C#", [["h1", "One"], ["h6", "Six"], p("####### no\n#no"), ["h1", "C#"]]],
  "fences keep everything": ["```py x\n# <b>\n  *a*\n\n```\nafter", [["pre", "py", "# <b>\n  *a*\n\n"], p("after")]],
  "tilde fence, backticks inside": ["~~~~\n```\n~~~\n~~~~", [["pre", "", "```\n~~~\n"]]],
  "an open fence reaches to the end": ["```\na", [["pre", "", "a\n"]]],
  "inline backticks are no fence": ["```a``` b", [p(["code", "a"], " b")]],
  "nested lists": ["- a\n  - b\n    - c\n- d", [["ul", li(p("a"), ["ul", li(p("b"), ["ul", li(p("c"))])]), li(p("d"))]]],
  "ordered list with code": ["3. a\n   ```\n   x\n   ```\n4. b", [["ol3", li(p("a"), ["pre", "", "x\n"]), li(p("b"))]]],
  "loose list": ["- a\n\n- b", [["ul loose", li(p("a")), li(p("b"))]]],
  "loose by a second paragraph": ["- a\n\n  b\n- c", [["ul loose", li(p("a"), p("b")), li(p("c"))]]],
  "a list ends at text behind a blank line": ["- a\n\nb", [["ul", li(p("a"))], p("b")]],
  "lazy lines": ["- a\nb\n> c\nd", [["ul", li(p("a\nb"))], ["quote", p("c\nd")]]],
  "another bullet, another list": ["- a\n+ b", [["ul", li(p("a"))], ["ul", li(p("b"))]]],
  "no list inside a paragraph by chance": ["In\n1984. was\n-", [p("In\n1984. was\n-")]],
  "a list may interrupt a paragraph": ["Say:\n- a\n1. b", [p("Say:"), ["ul", li(p("a"))], ["ol1", li(p("b"))]]],
  "tabs indent": ["-\ta\n\n\tb", [["ul loose", li(p("a"), p("b"))]]],
  quotes: ["> a\n> > b\n>\n> - c", [["quote", p("a"), ["quote", p("b")], ["ul", li(p("c"))]]]],
  "thematic breaks": ["a\n\n* * *\n---\n___", [p("a"), ["hr"], ["hr"], ["hr"]]],
  tables: [
    "text\n| a | b |\n|:--|--:|\n| 1 | x\\|y | 3 |\n| 2 |\n\nend",
    [p("text"), ["table", ["left", "right"], ["a", "b"], ["1", "x|y"], ["2", ""]], p("end")],
  ],
  "no table when the columns differ": ["a | b\n---|---|---", [p("a | b\n---|---|---")]],
  emphasis: ["*a* **b** ***c*** _d_ __e__ ~~f~~ snake_case_name", [p(["em", "a"], " ", ["strong", "b"], " ", ["em", ["strong", "c"]], " ", ["em", "d"], " ", ["strong", "e"], " ", ["del", "f"], " snake_case_name")]],
  "emphasis without partner": ["2 * 3 ** 4, *open, ~5", [p("2 * 3 ** 4, *open, ~5")]],
  "emphasis nests": ["**a *b* c**", [p(["strong", "a ", ["em", "b"], " c"])]],
  escapes: ["\\*a\\* \\[b\\] \\q", [p("*a* [b] \\q")]],
  "code spans": ["`` a`b `` `*x*` `open", [p(["code", "a`b"], " ", ["code", "*x*"], " `open")]],
  links: ['[a *b*](https://x.test/p "t") [m](mailto:a@x.test)', [p(["a", "https://x.test/p", "a ", ["em", "b"]], " ", ["a", "mailto:a@x.test", "m"])]],
  "brackets in links": ["[w](https://x.test/a_(b)) [c](<https://x.test/a>)", [p(["a", "https://x.test/a_(b)", "w"], " ", ["a", "https://x.test/a", "c"])]],
  "bare addresses": ["See https://x.test/a_b_c. (http://y.test/q)", [p("See ", ["a", "https://x.test/a_b_c", "https://x.test/a_b_c"], ". (", ["a", "http://y.test/q", "http://y.test/q"], ")")]],
  "an address as its own text": ["[https://x.test](https://x.test)", [p(["a", "https://x.test/", "https://x.test"])]],
  "angle addresses": ["<https://x.test/>", [p(["a", "https://x.test/", "https://x.test/"])]],
  "images are links": ["![alt *x*](https://x.test/i.png)", [p(["image", "https://x.test/i.png", "alt x"])]],
  "a badge is one link": ["[![b](https://x.test/i.png)](https://x.test/)", [p(["a", "https://x.test/", "b"])]],
  "HTML is text": ["<b>x</b> <script>alert(1)</script>\n\n<img src=x onerror=alert(1)>", [p("<b>x</b> <script>alert(1)</script>"), p("<img src=x onerror=alert(1)>")]],
  "line ends": ["a\r\nb\r\rc", [p("a\nb"), p("c")]],
};

for (const [name, [source, expected]] of Object.entries(CASES)) {
  test(name, () => assert.deepEqual(tree(source), expected));
}

test("only http, https and mailto become links", () => {
  const probes = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", "java\tscript:alert(1)", "\u0001javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd", "blob:https://x.test/1", "//x.test", "/tree", "x", "", "https:", "http:x",
    "javascript&colon;alert(1)", "javascript\\:alert(1)", "view-source:https://x.test",
  ];
  for (const probe of probes) {
    assert.equal(safeHref(probe), null, probe);
    for (const source of [`[x](${probe})`, `[x](<${probe}>)`, `![x](${probe})`, `<${probe}>`]) {
      for (const [, href] of JSON.stringify(tree(source)).matchAll(/\["(?:a|image)","([^"]*)"/g)) assert.match(href, /^https:/, source);
    }
  }
  assert.equal(safeHref("HTTPS://x.test/?a=<b>\"'"), "https://x.test/?a=%3Cb%3E%22%27");
});

test("wherever a text is cut, the streamed tree is the tree of the whole", () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  console.log(`seed ${seed} (SEED=${seed} repeats it)`);
  const random = generator(seed);
  const sources = Object.values(CASES).map(([source]) => source);
  const scraps = ["- ", "  ", "\n", "\n\n", "> ", "```", "~~~", "1. ", "# ", "|", "---", "|-|-|\n", "a|b\n", "*", "**", "_", "`", "[x](", "https://x.test", ")", "word ", "😀", "\r", "\r\n", "\t", "\\", "<b>", "***\n", "    "];
  for (let round = 0; round < 3_000; round++) {
    const source = round < sources.length * 4
      ? sources[round % sources.length] + "\n\n" + sources[random(sources.length)]
      : Array.from({ length: 3 + random(30) }, () => scraps[random(scraps.length)]).join("");
    const streamed = new Blocks();
    for (let at = 0; at < source.length; ) {
      const next = at + 1 + random(random(3) ? 3 : 12);
      streamed.write(source.slice(at, next));
      if (random(5) === 0) streamed.end(); // stopped here, resumed later
      at = next;
    }
    streamed.end();
    assert.deepEqual(plain(streamed.root).slice(1), tree(source), JSON.stringify(source));
  }
});

test("hostile input costs no more than its length", () => {
  const n = 100_000;
  const probes = ["*a ", "**a*", "[", "[a](", "![", "`".repeat(3) + "a`", "<", "\\", "_a", "~~", "((", "a  ", "http://", "[a](<b", '[a](b "', "[a](b (", "[a](b 'c ", "]("].map((scrap) => scrap.repeat(n / scrap.length));
  probes.push(">".repeat(n), "- ".repeat(n / 2), "#" + " ".repeat(n) + "x", "a\n" + "-".repeat(n) + "x", "|".repeat(n) + "\n" + "|-".repeat(n / 2), " ".repeat(n) + "x\n", Array.from({ length: 400 }, (_, i) => "`".repeat(i)).join("a"));
  for (const probe of probes) {
    const start = performance.now();
    tree(probe);
    assert.ok(performance.now() - start < 1_000, `${JSON.stringify(probe.slice(0, 12))}: ${Math.round(performance.now() - start)} ms`);
  }
});

test("1 MB of normal Markdown in small pieces is linear work", () => {
  const piece = "## Head\n\nSome *text* with `code` and a [link](https://x.test).\n\n- one\n- two\n\n```js\nlet a = 1;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n";
  const time = (size) => {
    const blocks = new Blocks();
    const source = piece.repeat(size / piece.length);
    const start = performance.now();
    for (let at = 0; at < source.length; at += 16) blocks.write(source.slice(at, at + 16));
    return performance.now() - start;
  };
  time(100_000);
  const [small, big] = [time(250_000), time(1_000_000)];
  assert.ok(big < 12 * small + 50, `250 KB: ${small} ms, 1 MB: ${big} ms`);
});

/** Small repeatable random numbers (mulberry32). */
function generator(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
