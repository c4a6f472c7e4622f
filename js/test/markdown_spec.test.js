import assert from "node:assert/strict";
import { test } from "node:test";

import spec from "commonmark-spec";
import MarkdownIt from "markdown-it";

import { bundled, normal, randomNumbers, Sheet } from "../testing/page.js";

const { Markdown } = await bundled("src/markdown/markdown.js");

const EXAMPLES = spec.tests.map(({ number, markdown, html }) => ({ number, markdown: markdown.replaceAll("→", "\t"), html: html.replaceAll("→", "\t") }));
/** Bare addresses are links here, as they are on GitHub. */
const OTHERWISE = [602, 608, 611, 612];

function page(write) {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  write(markdown);
  markdown.end();
  return normal(sheet.nodes);
}

/** What the specification wants, in the same normal form. */
function wanted(html) {
  const el = document.createElement("div");
  el.innerHTML = html;
  for (const quote of el.querySelectorAll("blockquote")) if (quote.childElementCount === 0) quote.textContent = "";
  for (const list of el.querySelectorAll("ul, ol")) {
    if ([...list.children].some((item) => [...item.children].some((child) => child.tagName === "P"))) list.classList.add("nbstream-loose");
  }
  return normal(el.childNodes);
}

test("CommonMark's examples without raw HTML look as the specification wants", () => {
  const html = new MarkdownIt("commonmark");
  const raw = ({ markdown }) => html.parse(markdown, {}).some((token) => token.type === "html_block" || token.children?.some((child) => child.type === "html_inline"));
  const plain = EXAMPLES.filter((example) => !raw(example));
  assert.equal(EXAMPLES.length, 652);
  assert.equal(plain.length, 580);
  const wrong = plain.filter(({ markdown, html: want }) => JSON.stringify(page((one) => one.write(markdown))) !== JSON.stringify(wanted(want)));
  assert.deepEqual(wrong.map(({ number }) => number), OTHERWISE);
});

test("each of CommonMark's examples, character by character and in random pieces, is what it is at once", () => {
  const random = randomNumbers();
  for (const { number, markdown } of EXAMPLES) {
    const whole = page((one) => one.write(markdown));
    const characters = page((one) => {
      for (const char of markdown) {
        one.write(char);
        one.paint();
      }
    });
    const pieces = page((one) => {
      for (let at = 0; at < markdown.length; ) {
        const next = at + 1 + random(12);
        one.write(markdown.slice(at, next));
        if (random(3)) one.paint();
        if (random(8) === 0) one.end();
        at = next;
      }
    });
    assert.deepEqual(characters, whole, `example ${number}, character by character`);
    assert.deepEqual(pieces, whole, `example ${number}, in pieces`);
  }
});
