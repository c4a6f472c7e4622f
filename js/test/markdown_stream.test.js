import assert from "node:assert/strict";
import { test } from "node:test";

import { randomText, writeInPieces } from "../testing/joins.js";
import { bundled, normal, randomNumbers, Sheet } from "../testing/page.js";

const { Markdown, renderPiece } = await bundled("src/markdown/markdown.js");

/** How many random joins; a long hunt by hand sets more. */
const JOINS = Number(process.env.NBSTREAM_JOINS ?? 5_000);

function oneShot(text) {
  const sheet = new Sheet();
  const markdown = new Markdown(sheet);
  markdown.write(text);
  markdown.end();
  while (!markdown.paint()); // what a late definition changes in a long text takes several
  return sheet;
}

test("however a text is cut, painted and resumed, the page is the one of the whole text", () => {
  const random = randomNumbers();
  let pieces = 0;
  for (let join = 0; join < JOINS; join++) {
    const text = randomText(random);
    const whole = oneShot(text);
    const sheet = new Sheet();
    const markdown = new Markdown(sheet);
    writeInPieces(markdown, text, random);
    assert.deepEqual(normal(sheet.nodes), normal(whole.nodes), JSON.stringify(text));
    const sources = sheet.pieces.map((piece) => piece.source);
    assert.ok(text.startsWith(sources.join("")), "the pieces are the text up to its open end");
    assert.deepEqual(sources, whole.pieces.map((piece) => piece.source), "cuts depend on the text alone");
    for (const piece of sheet.pieces) {
      const again = markdown.renderPiece(piece);
      assert.ok(again.isEqualNode(piece.el), `${JSON.stringify(piece.source)}: ${again.outerHTML} is not ${piece.el.outerHTML}`);
    }
    pieces += sheet.pieces.length;
  }
  assert.ok(pieces > JOINS, "texts that are cut");
  assert.equal(renderPiece("a *b*\n", { starts: true, prefix: "", joint: "", enters: [], leaves: [] }).outerHTML, "<p>a <em>b</em></p>");
});
