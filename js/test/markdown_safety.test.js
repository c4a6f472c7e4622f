import assert from "node:assert/strict";
import { test } from "node:test";

import { bundled, Sheet } from "../testing/page.js";

const { Markdown } = await bundled("src/markdown/markdown.js");

function rootOf(source) {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  for (let at = 0; at < source.length; at += 7) {
    markdown.write(source.slice(at, at + 7));
    markdown.paint();
  }
  markdown.end();
  return sheet.root;
}

const PIXEL = "data:image/png;base64,iVBORw0KGgo=";

test("only http, https and mailto become links, wherever an address can stand", () => {
  const probes = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", "java\tscript:alert(1)", "\u0001javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>", PIXEL, "vbscript:x", "file:///etc/passwd", "blob:https://x.test/1", "//x.test", "/tree", "x", "", "https:", "https:x.test", "http:/x.test",
    "javascript&colon;alert(1)", "javascript\\:alert(1)", "&#106;avascript:alert(1)", "view-source:https://x.test", "https://", "mailto:",
  ];
  for (const probe of probes) {
    for (const source of [`[x](${probe})`, `[x](<${probe}>)`, `![x](${probe})`, `<${probe}>`, `[x]\n\n[x]: ${probe}`, `[![x](${probe})](${probe})`, probe]) {
      const root = rootOf(source);
      for (const link of root.querySelectorAll("[href]")) assert.match(link.getAttribute("href"), /^(?:https?:\/\/[^/]|mailto:.)/, source);
      for (const el of root.querySelectorAll("[src]")) assert.equal(el.getAttribute("src"), PIXEL, source);
      assert.equal(root.querySelector("script, iframe, object, form, style, link, meta, base, svg"), null, source);
    }
  }
  const link = rootOf("[x](HTTPS://x.test/?a=<b>\"')").querySelector("a");
  assert.equal(link.getAttribute("rel"), "noopener noreferrer nofollow");
  assert.equal(link.getAttribute("target"), "_blank");
  assert.equal(new URL(link.href).host, "x.test");
});

test("nothing of a text becomes an attribute that acts, or an element of HTML", () => {
  const root = rootOf('<img src=x onerror=alert(1)> <a href="javascript:1">x</a> `<svg onload=1>` ![" onload="1](https://x.test/" onclick="1) [x](https://x.test "\\" onclick=1")\n\n```"><script>\nx\n```\n\n<sub onclick=1>x</sub> <br onclick=1>\n\n| <img src=x> |\n|---|\n');
  for (const el of root.querySelectorAll("*")) for (const { name } of el.attributes) assert.doesNotMatch(name, /^on/);
  assert.equal(root.querySelector("img, script, svg, sub, br"), null);
});

test("a remote picture is a button that says what it would load, and asks nobody before the click", () => {
  const root = rootOf("a ![two *words*](https://x.test:8080/i.png?secret=1 \"t\") b");
  const button = root.querySelector("button.nbstream-image");
  assert.equal(root.querySelector("img"), null);
  assert.equal(button.getAttribute("aria-label"), "Load image: two words (x.test:8080)");
  assert.equal(button.dataset.label, "image: two words (x.test:8080)");
  assert.equal(button.type, "button");
  assert.equal(root.textContent, "a  b", "a label is no text");
  button.click();
  const img = root.querySelector("img");
  assert.deepEqual([img.getAttribute("src"), img.alt, img.getAttribute("referrerpolicy"), img.title], ["https://x.test:8080/i.png?secret=1", "two words", "no-referrer", "t"]);
  assert.equal(root.querySelector("button"), null);
});

test("a picture in a link is no button, one in the text is shown, SVG and too much of it are not", () => {
  const linked = rootOf("[![badge](https://x.test/b.svg)](https://y.test)");
  assert.equal(linked.querySelector("a > span.nbstream-image").getAttribute("aria-label"), "image: badge (x.test)");
  assert.equal(rootOf(`![p](${PIXEL})`).querySelector("img").getAttribute("src"), PIXEL);
  for (const src of ["data:image/svg+xml;base64,PHN2Zz4=", "data:image/png,x", "DATA:text/html;base64,eA==", "data:image/png;base64,a\"b"]) {
    assert.equal(rootOf(`![p](${src})`).querySelector("img"), null, src);
  }
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  markdown.write(`![p](data:image/png;base64,${"A".repeat(2 * 1024 * 1024)})`);
  markdown.end();
  assert.equal(sheet.root.querySelector("img"), null);
});
