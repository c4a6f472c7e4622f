import assert from "node:assert/strict";
import { test } from "node:test";

import { AckPace, PaintPace } from "../src/pace.js";

test("the first text is painted at once, then at most every 80 ms", () => {
  const pace = new PaintPace();
  assert.equal(pace.waitMs(1000, 10), 0);
  pace.paint(1000, 1004);
  assert.equal(pace.waitMs(1010, 10), 70);
  assert.equal(pace.waitMs(1200, 10), 0);
});

test("a slow paint leaves the page four fifths of the time", () => {
  const pace = new PaintPace();
  pace.paint(0, 60);
  assert.equal(pace.waitMs(60, 10), 240);
});

test("the rest of a big write follows in the next frame", () => {
  const pace = new PaintPace();
  pace.paint(0, 10);
  assert.equal(pace.waitMs(10, 40_000), 0);
  assert.equal(pace.waitMs(10, 32_768), 70);
});

test("a slow page gets smaller pieces, and bigger ones again when it recovers", () => {
  const pace = new PaintPace();
  for (let i = 0; i < 9; i++) pace.paint(0, 100);
  assert.equal(pace.units, 2_048);
  for (let i = 0; i < 9; i++) pace.paint(0, 5);
  assert.equal(pace.units, 32_768);
});

test("acks: four a second, the newest never left out", () => {
  const pace = new AckPace();
  const sent = [];
  for (let now = 0; now < 1000; now += 20) {
    if (now < 900) pace.painted(now / 20);
    if (pace.waitMs(now) === 0) sent.push(pace.take(now));
  }
  const wait = pace.waitMs(1000);
  assert.equal(pace.waitMs(1000 + wait), 0);
  sent.push(pace.take(1000 + wait));
  assert.equal(sent.length, 5);
  assert.equal(sent.at(-1), 44);
  assert.equal(pace.waitMs(2000), null);
});

test("a page seen before is acknowledged again", () => {
  const pace = new AckPace();
  pace.painted(7);
  pace.take(0);
  assert.equal(pace.waitMs(10), null);
  pace.painted(7);
  assert.equal(pace.waitMs(10), 240);
  assert.equal(pace.take(250), 7);
});
