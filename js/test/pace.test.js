import assert from "node:assert/strict";
import { test } from "node:test";

import { AckPace, PaintPace } from "../src/pace.js";

test("the first text is painted at once, then at most every 80 ms", () => {
  const pace = new PaintPace();
  assert.equal(pace.waitMs(1000, 10), 0);
  pace.paint(1000, 1004, 1000);
  assert.equal(pace.waitMs(1010, 10), 70);
  assert.equal(pace.waitMs(1200, 10), 0);
});

test("a slow paint leaves the page four fifths of the time", () => {
  const pace = new PaintPace();
  pace.paint(0, 60, 1000);
  assert.equal(pace.waitMs(60, 10), 240);
});

test("the rest of a big write follows in the next frame", () => {
  const pace = new PaintPace();
  pace.paint(0, 10, 1000);
  assert.equal(pace.waitMs(10, 40_000), 0);
  assert.equal(pace.waitMs(10, 32_768), 0); // the second half of a live page
  assert.equal(pace.waitMs(10, 16_384), 70);
});

test("a slow page gets smaller pieces, and bigger ones again when it recovers", () => {
  const pace = new PaintPace();
  for (let i = 0; i < 9; i++) pace.paint(0, pace.units / 50, pace.units);
  assert.ok(pace.units <= 2_048, `${pace.units} units`);
  for (let i = 0; i < 9; i++) pace.paint(0, 5, pace.units);
  assert.equal(pace.units, 32_768);
});

test("where a paint costs the same whatever its size, pieces stay big", () => {
  const pace = new PaintPace();
  let paints = 0;
  for (let left = 200_000; left > 0; left -= pace.units, paints++) pace.paint(0, 150, pace.units);
  assert.ok(paints < 12, `${paints} paints`);
});

test("acks: four a second in a flood, the newest never left out", () => {
  const pace = new AckPace();
  const sent = [];
  for (let now = 0; now < 1000; now += 20) {
    if (now < 900) pace.painted(now / 20, 4096);
    if (pace.waitMs(now, false) === 0) sent.push(pace.take(now));
  }
  const wait = pace.waitMs(1000, false);
  assert.equal(pace.waitMs(1000 + wait, false), 0);
  sent.push(pace.take(1000 + wait));
  assert.equal(sent.length, 5);
  assert.equal(sent.at(-1), 44);
  assert.equal(pace.waitMs(2000, false), null);
});

test("acks: a page that is painted is acknowledged at once, the kernel waits with the next but one", () => {
  const pace = new AckPace();
  pace.painted(1, 32_768);
  pace.take(0);
  pace.painted(2, 32_768);
  assert.ok((pace.waitMs(10, false) ?? 0) > 0);
  pace.painted(3, 32_768);
  assert.equal(pace.waitMs(20, false), 0);
});

test("acks: one in two seconds at reading speed", () => {
  const pace = new AckPace();
  const sent = [];
  for (let now = 0; now < 6000; now += 20) {
    pace.painted(now / 20, 8);
    if (pace.waitMs(now, false) === 0) sent.push(pace.take(now));
  }
  assert.equal(sent.length, 3);
});

test("a page seen before is acknowledged again", () => {
  const pace = new AckPace();
  pace.painted(7);
  pace.take(0);
  assert.equal(pace.waitMs(10, false), null);
  pace.painted(7);
  assert.equal(pace.waitMs(10, false), 1990);
  assert.equal(pace.take(2000), 7);
});

test("a kernel that waits with more text gets its ack at once", () => {
  const pace = new AckPace();
  pace.painted(1);
  pace.take(0);
  pace.painted(2);
  assert.equal(pace.waitMs(10, true), 0);
});

test("no paint waits longer than a second for the one before", () => {
  const pace = new PaintPace();
  pace.paint(0, 900, 1000);
  assert.equal(pace.waitMs(900, 10), 100);
});

test("a hidden tab paints by a timer, the first text too", () => {
  const pace = new PaintPace();
  assert.equal(pace.waitMs(0, 10, { hidden: true }), 250);
  pace.paint(0, 5, 1000);
  assert.equal(pace.waitMs(10, 40_000, { hidden: true }), 250);
});

test("a small device begins with small pieces and grows them", () => {
  const pace = new PaintPace({ memory: 1 });
  assert.equal(pace.units, 8_192);
  for (let i = 0; i < 3; i++) pace.paint(i * 100, i * 100 + 5, pace.units);
  assert.equal(pace.units, 32_768);
});
