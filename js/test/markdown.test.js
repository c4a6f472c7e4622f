import assert from "node:assert/strict";
import { test } from "node:test";

import { bundled, normal, Sheet } from "../testing/page.js";

const { Markdown } = await bundled("src/markdown/markdown.js");

function sheetOf(source) {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  markdown.write(source);
  markdown.end();
  return sheet;
}

/** Nested arrays without the attributes that are not there. */
function short(nodes) {
  return nodes.map((node) => (typeof node === "string" ? node : [node[0], ...(Object.keys(node[1]).length ? [node[1]] : []), ...short(node.slice(2))]));
}

const tree = (source) => short(normal(sheetOf(source).nodes));

const p = (...inline) => ["p", ...inline];
const a = (href, ...inline) => ["a", { href }, ...inline];
const math = (source) => ["span", source];

const CASES = {
  "fences keep everything": ["```py x\n# <b>\n  *a*\n\n```\nafter", [["pre", ["code", { class: "language-py" }, "# <b>\n  *a*\n\n"]], p("after")]],
  "an open fence reaches to the end": ["```\na", [["pre", ["code", "a"]]]],
  "Mermaid, HTML and SVG are code": ["```svg\n<svg onload=x>\n```", [["pre", ["code", { class: "language-svg" }, "<svg onload=x>\n"]]]],
  strikethrough: ["~~a~~ ~b", [p(["del", "a"], " ~b")]],
  tables: [
    "text\n| a | b |\n|:--|--:|\n| 1 | x\\|y | 3 |\n| 2 |\n\nend",
    [
      p("text"),
      ["table", ["thead", ["tr", ["th", { align: "left" }, "a"], ["th", { align: "right" }, "b"]]], ["tbody", ["tr", ["td", { align: "left" }, "1"], ["td", { align: "right" }, "x|y"]], ["tr", ["td", { align: "left" }, "2"], ["td", { align: "right" }]]]],
      p("end"),
    ],
  ],
  "no table when the columns differ": ["a | b\n---|---|---", [p("a | b\n---|---|---")]],
  "bare addresses": [
    "See https://x.test/a_b_c. (http://y.test/q) www.z.test/a(b), me@x.test! main.py",
    [p("See ", a("https://x.test/a_b_c", "https://x.test/a_b_c"), ". (", a("http://y.test/q", "http://y.test/q"), ") ", a("http://www.z.test/a(b)", "www.z.test/a(b)"), ", ", a("mailto:me@x.test", "me@x.test"), "! main.py")],
  ],
  "addresses in emphasis and other scripts": ["**https://x.test** 见https://x.test。", [p(["strong", a("https://x.test", "https://x.test")], " 见", a("https://x.test", "https://x.test"), "。")]],
  "an address in ASCII": ["[x](https://bücher.test/ä)", [p(a("https://xn--bcher-kva.test/%C3%A4", "x"))]],
  "HTML is text": ["<b>x</b> <script>alert(1)</script>", [p("<b>x</b> <script>alert(1)</script>")]],
  "four harmless tags": ["a<br>b<br/>H<sub>2</sub>O x<SUP>*n*</SUP> <kbd>Ctrl</kbd> <sub>open <sub class=x>no</sub>", [p("a", ["br"], "b", ["br"], "H", ["sub", "2"], "O x", ["sup", ["em", "n"]], " ", ["kbd", "Ctrl"], " ", ["sub", "open <sub class=x>no"])]],
  "character references": ["&copy; &notit; &amp; &semi; &#35; &bogus; &ngE;", [p("© &notit; & ; # &bogus; ≧̸")]],
  "formulas in a line": ["so $x^2$, \\(a_b\\) and $$c$$", [p("so ", math("$x^2$"), ", ", math("\\(a_b\\)"), " and ", math("$$c$$"))]],
  "money is no formula": ["$5 to $10, US$5 and 3$, $ 5 $, a $10 b $20.", [p("$5 to $10, US$5 and 3$, $ 5 $, a $10 b $20.")]],
  "code before formulas": ["`$x$` $`y`", [p(["code", "$x$"], " $", ["code", "y"])]],
  "formulas as blocks": ["text\n$$\na\n$$\n\\[ b\n\\]\nend", [p("text"), ["div", "$$\na\n$$"], ["div", "\\[ b\n\\]"], p("end")]],
  "a block of two dollars that never closes is a line": ["$$ is much\n\n*text*", [p("$$ is much"), p(["em", "text"])]],
  "an escaped bracket is no formula": ["\\[x](y) and \\[z]", [p("[x](y) and [z]")]],
  "line ends": ["a\r\nb\r\rc", [p("a\nb"), p("c")]],
  "a link that leads nowhere safe": ["[x](javascript:alert(1)) [y](/tree)", [p("[x](javascript:alert(1)) ", a("/tree", "y"))]],
};

for (const [name, [source, expected]] of Object.entries(CASES)) {
  test(name, () => assert.deepEqual(tree(source), expected));
}

test("tasks are boxes that say what they stand for", () => {
  const [list] = sheetOf("- [ ] buy *milk*\n- [x] done\n- [y] no\n- [ ]").nodes;
  const boxes = [...list.querySelectorAll("input[type=checkbox]")];
  assert.deepEqual(boxes.map((box) => [box.getAttribute("aria-label"), box.hasAttribute("checked"), box.hasAttribute("disabled")]), [["buy milk", false, true], ["done", true, true]]);
  assert.deepEqual([...list.children].map((item) => item.textContent), ["buy milk", "done", "[y] no", "[ ]"]);
});

test("nesting deeper than anybody means is shown as text", () => {
  const [quote] = sheetOf(`${">".repeat(200)} deep *text*`).nodes;
  assert.match(quote.textContent, /deep \*text\*$/);
});

test("a late definition changes only the pieces that mention it, and what the open end defines may still change", () => {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  /** @type {string[]} */
  const changed = [];
  const shown = new Map();
  const changes = () => {
    for (const piece of sheet.pieces) {
      const { el, html } = shown.get(piece) ?? piece;
      assert.equal(piece.el, el, "what has the selection or the focus in it keeps it");
      if (html !== undefined && html !== el.outerHTML) changed.push(piece.source);
      shown.set(piece, { el, html: el.outerHTML });
    }
  };
  const write = (text) => {
    markdown.write(text);
    markdown.paint();
    changes();
  };
  write("[one][late]\n\ntwo\n\n[late] `[late]`\n\n`[late]`\n\n");
  assert.equal(sheet.pieces.length, 3);
  write("[late]: https://x.test/a");
  assert.deepEqual(changed, []);
  markdown.end();
  changes();
  assert.deepEqual(changed.splice(0), ["[one][late]\n\n", "[late] `[late]`\n\n"]);
  assert.equal(sheet.root.querySelector("a").getAttribute("href"), "https://x.test/a");
  write("bc\n\nmore\n\nend\n\n");
  assert.equal(sheet.root.querySelector("a").getAttribute("href"), "https://x.test/abc");
});

test("definitions at the end of a long text change it paint by paint, the newest first, and a resume changes nothing back", () => {
  const line = "As is well known [1], and *so* is this [2] ![i][3].\n\n";
  const text = `${line.repeat(4_000)}[1]: https://a.test\n[2]: https://b.test\n[3]: https://x.test/i.png\n`;
  const sheet = new Sheet();
  sheet.append = function (piece) {
    this.pieces.push(piece); // thousands of neighbours are slow in jsdom
  };
  const markdown = new Markdown(sheet);
  markdown.write(text);
  markdown.paint();
  const first = sheet.pieces[0].el.firstChild;
  const links = () => sheet.pieces.filter(({ el }) => el.querySelector("a")).length;
  assert.equal(links(), 0);
  markdown.end();
  let before = 0;
  for (let through = false, paints = 0; !through; paints++) {
    const units = (links() - before) * line.length;
    assert.ok(units > 0 && units < 33_000, `${units} in paint ${paints}`);
    assert.ok(sheet.pieces.at(-1).el.querySelector("a"));
    before = links();
    through = markdown.paint();
  }
  assert.equal(links(), sheet.pieces.length);
  assert.equal(sheet.pieces[0].el.firstChild, first);
  const html = () => sheet.pieces.slice(0, 4_000).map(({ el }) => el.outerHTML).join("");
  const whole = html();
  for (const more of ["\nMo", "re.\n", "\nEnd.\n"]) {
    markdown.write(more);
    markdown.paint();
    assert.equal(links(), 4_000, "the same definitions, as far as anybody knows");
  }
  markdown.end();
  while (!markdown.paint());
  assert.equal(html(), whole);
});

test("a definition that goes on when the text does counts as it reads then", () => {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  const href = () => sheet.root.querySelector("p > a")?.getAttribute("href");
  markdown.write("Says [1].\n\nSo.\n\n[1]: https://x.test/a");
  markdown.end();
  assert.equal(href(), "https://x.test/a");
  markdown.write("bc");
  markdown.paint();
  assert.equal(href(), undefined);
  markdown.write("\n\nSays [1] too.\n\nEnd");
  markdown.paint();
  assert.deepEqual([...sheet.root.querySelectorAll("p > a")].map((a) => a.getAttribute("href")), ["https://x.test/abc", "https://x.test/abc"]);
});

test("code in a piece that a definition changes keeps its colours", () => {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  markdown.write("- see [1]\n\n  ```js\n  x\n  ```\n\nEnd.\n\n");
  markdown.paint();
  const code = sheet.root.querySelector("code");
  code.innerHTML = "<span>x\n</span>"; // as the colours do
  markdown.write("[1]: https://a.test\n\nEnd.\n\n");
  markdown.paint();
  assert.equal(sheet.root.querySelector("li a").getAttribute("href"), "https://a.test");
  assert.equal(sheet.root.querySelector("code").innerHTML, "<span>x\n</span>");
});

test("a list that becomes loose late does so as a whole, with all its segments", () => {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  const items = (from, to, gap) => Array.from({ length: to - from }, (_, i) => `${from + i}. item${gap}`).join("");
  markdown.write(items(1, 201, "\n"));
  markdown.paint();
  const lists = () => [...sheet.root.querySelectorAll("ol")];
  assert.deepEqual(lists().map((list) => list.start), [1, 65, 129, 193]);
  assert.ok(lists().every((list) => !list.classList.contains("nbstream-loose")));
  markdown.write(items(201, 210, "\n\n"));
  markdown.paint();
  assert.ok(lists().length >= 4 && lists().every((list) => list.classList.contains("nbstream-loose")));
});

test("a list that only its last line makes loose, unfinished, is loose as a whole where the text ends there, and tight again where that line goes on as something else", () => {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  markdown.write(`${"- item\n".repeat(200)}\n-`);
  markdown.end();
  const loose = () => [...sheet.root.querySelectorAll("ul")].map((list) => list.classList.contains("nbstream-loose"));
  assert.deepEqual(loose(), [true, true, true, true]);
  markdown.write("--\n\nend\n\n");
  markdown.paint();
  assert.equal(sheet.root.querySelectorAll("hr").length, 1);
  assert.deepEqual(loose(), [false, false, false, false]);
});

test("a long fence that begins on the line of an item and a bare quote sign keeps all of its text", () => {
  const source = `- >~~~\n${"  >code of a line\n".repeat(400)}  >~~~\n\nend\n`;
  const { root, pieces } = sheetOf(source);
  assert.equal(root.querySelectorAll("pre").length, 1);
  assert.equal(root.querySelector("code").textContent, "code of a line\n".repeat(400));
  assert.equal(pieces.length, 1);
});

test("a line of two dollars that is no formula stays a line in a piece that ends before what told so", () => {
  const { root } = sheetOf(`> $$\n> ${"word ".repeat(2_000)}`);
  assert.deepEqual([...root.querySelectorAll("blockquote")].map((quote) => quote.firstElementChild.tagName), ["P", "P"]);
  assert.equal(root.querySelector("blockquote").firstElementChild.textContent, "$$");
});

test("what is the same in the open end keeps its nodes", () => {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  markdown.write("Some *words* and");
  markdown.paint();
  const [paragraph] = sheet.tail.children;
  const emphasis = paragraph.querySelector("em");
  markdown.write(" more `code`");
  markdown.paint();
  assert.equal(sheet.tail.firstElementChild, paragraph);
  assert.equal(paragraph.querySelector("em"), emphasis);
  assert.equal(paragraph.textContent, "Some words and more code");
});

test("a giant paragraph with an underline stays one: its beginning was a piece before the line came", () => {
  const text = `${"a word or two ".repeat(900)}\n---\nbehind`;
  const pages = [[text], text.match(/.{1,500}/gs) ?? []].map((writes) => {
    const sheet = new Sheet();
    const markdown = new Markdown(sheet);
    for (const write of writes) {
      markdown.write(write);
      markdown.paint();
    }
    markdown.end();
    return sheet;
  });
  for (const { root } of pages) assert.equal(root.querySelectorAll("h2").length, 0);
  assert.deepEqual(normal(pages[0].nodes), normal(pages[1].nodes));
});

test("an empty fence that gets its language late has it", () => {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  for (const piece of [">- ```", "js", "\n> x"]) {
    markdown.write(piece);
    markdown.paint();
  }
  markdown.end();
  assert.equal(sheet.tail.querySelector("code")?.className, "language-js");
});
