/** The page that a relay serves itself: what the store has lost is not mixed with what was written in its place. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { JSDOM } from "jsdom";

/** Stands for the browser's connection, which sends the last id back by itself. */
class Source extends EventTarget {
  /** @type {Source[]} */
  static made = [];
  closed = false;

  /** @param {string} url */
  constructor(url) {
    super();
    this.url = url;
    Source.made.push(this);
    this.addEventListener("message", (event) => /** @type {any} */ (this).onmessage?.(event));
  }

  close() {
    this.closed = true;
  }

  /** @param {string} name @param {object} data @param {string} [lastEventId] */
  say(name, data, lastEventId = "") {
    this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(data), lastEventId }));
  }

  /** @param {number} offset @param {number} at @param {string} text */
  record(offset, at, text) {
    this.say("message", { type: "delta", at, parts: [{ kind: "text", agent: "assistant", text }] }, `${offset}@${at}`);
  }
}

function watch() {
  Source.made = [];
  const html = readFileSync(new URL("../../src/nbstream/relay/http/watch.html", import.meta.url), "utf-8");
  const { window } = new JSDOM(html, { runScripts: "dangerously", beforeParse: (page) => void (page.EventSource = Source) });
  const texts = () => [...window.document.querySelectorAll("main pre")].map((one) => one.textContent);
  return { window, texts, main: () => window.document.querySelector("main")?.textContent };
}

test("told that records are lost, it forgets them and shows what follows from the beginning", () => {
  const { texts, main } = watch();
  const [source] = Source.made;
  assert.equal(source.url, "records?ids=at&after=-1");
  for (const [n, text] of ["a", "b", "c"].entries()) source.record(n, n + 0.5, text);
  assert.deepEqual(texts(), ["abc"]);
  source.say("lost", { after: 2, message: "the store has lost records up to 2" });
  for (const [n, text] of ["a", "X", "Y"].entries()) source.record(n, n + 7.5, text);
  assert.deepEqual(texts(), ["aXY"]);
  assert.match(main() ?? "", /has lost records up to 2/);
  source.record(4, 11.5, "Z"); // a hole
  assert.deepEqual([source.closed, Source.made[1].url], [true, "records?ids=at&after=2@9.5"]);
});

test("a connection that ends because of a loss is made anew from the beginning; one behind damage is not", () => {
  const { window, texts, main } = watch();
  Source.made[0].record(0, 0.5, "a");
  Source.made[0].say("damaged", { type: "RecordsLost", message: "has lost records 0 to 0" });
  assert.deepEqual([Source.made.length, Source.made[0].closed, Source.made[1].url], [2, true, "records?ids=at&after=-1"]);
  Source.made[1].record(0, 3.5, "b");
  assert.deepEqual(texts(), ["b"]);
  assert.match(main() ?? "", /has lost records 0 to 0/);
  Source.made[1].say("damaged", { type: "LogDamaged", message: "record 1 is damaged" });
  assert.deepEqual([Source.made.length, Source.made[1].closed], [2, true]);
  assert.match(window.document.querySelector("[role=status]")?.textContent ?? "", /damaged/);
});
