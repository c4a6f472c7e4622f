import assert from "node:assert/strict";
import { test } from "node:test";

import { merge, present } from "../src/state.js";

const streaming = { state: "streaming", line: "streaming, record 4", actions: ["stop"], offset: 4, chars: 20 };
const complete = { state: "complete", line: "complete, 20 characters", actions: ["regenerate"], offset: 5, chars: 20 };
const facts = { link: "live", last: streaming, chars: 1234, have: 56 };

test("before the first page the line is calm and offers nothing", () => {
  const shown = present({ link: "waiting", last: null, chars: 0, have: -1 });
  assert.deepEqual(shown, { state: "connecting", link: "live", line: "connecting ...", actions: [], busy: true, empty: true });
  assert.match(present({ link: "waiting", last: null, chars: 0, have: -1, slow: true }).line, /busy/);
});

test("the kernel's line and buttons are shown as they are, Copy behind them", () => {
  assert.deepEqual(present(facts), { state: "streaming", link: "live", line: streaming.line, actions: ["stop", "copy"], busy: true, empty: false });
});

test("a dead kernel: the counts are the page's, how to go on is the kernel's own last word", () => {
  const last = { ...streaming, lost: "running the cell again asks anew" };
  const shown = present({ ...facts, last, link: "gone" });
  assert.equal(shown.line, "Kernel is gone. 1,234 characters came, up to record 56; running the cell again asks anew.");
  assert.match(present({ ...facts, last, link: "gone", chars: 1 }).line, / 1 character came,/);
  assert.deepEqual([shown.link, shown.actions, shown.busy], ["lost", ["copy"], false]);
});

test("a kernel that was shut down for good is not said to leave a call behind", () => {
  const last = { ...streaming, lost: "the answer goes on", shut: "the source cannot resume" };
  assert.match(present({ ...facts, last, link: "gone" }).line, /^Kernel is gone\. .*; the answer goes on\.$/);
  const shown = present({ ...facts, last, link: "shut" });
  assert.equal(shown.line, "Kernel was shut down. 1,234 characters came, up to record 56; the source cannot resume.");
  assert.deepEqual([shown.link, shown.actions, shown.busy], ["lost", ["copy"], false]);
  assert.match(present({ ...facts, last: { ...last, shut: "" }, link: "shut" }).line, /the answer goes on/);
});

test("a message at rest says without its kernel how it ended", () => {
  const ended = "stopped by you · demo · 1,234 characters · 8.1 s";
  const last = { ...streaming, state: "stopped", line: `${ended}, Resume`, ended, offset: 56, lost: "running the cell again asks anew" };
  const line = (/** @type {object} */ more) => present({ ...facts, last, ...more }).line;
  assert.equal(line({ link: "gone" }), `${ended} · kernel is gone, running the cell again asks anew`);
  assert.equal(line({ link: "shut" }), `${ended} · kernel was shut down, running the cell again asks anew`);
  assert.equal(line({ link: "cut" }), `${ended} · connection to the kernel is lost, the buttons come back with it`);
  assert.match(line({ link: "gone", have: 50 }), /kernel is gone, 1,234 characters came, up to record 50, running/);
  assert.match(line({ link: "cut", have: 50 }), /is lost, 1,234 .* record 50, the rest follows when it is back$/);
  assert.equal(line({ link: "gone", last: { ...last, state: "complete", ended: "complete, 20 characters" } }), "complete, 20 characters");
});

test("a kernel that left no word behind: nothing is promised", () => {
  assert.equal(present({ ...facts, link: "gone" }).line, "Kernel is gone. The text below is what came.");
});

test("a complete answer stays calm without a kernel", () => {
  const shown = present({ ...facts, last: complete, link: "gone" });
  assert.deepEqual([shown.line, shown.link], [complete.line, "lost"]);
});

test("a cut connection promises the rest", () => {
  assert.match(present({ ...facts, link: "cut" }).line, /^Connection to the kernel is lost\. 1,234 .* record 56; the rest follows/);
  const stopped = { ...streaming, state: "stopped", offset: 56 };
  assert.match(present({ ...facts, last: stopped, link: "cut" }).line, /record 56; the buttons come back with it\.$/);
  assert.match(present({ link: "gone", last: null, chars: 0, have: -1 }).line, /Run the cell again/);
});

test("a Stop without an answer offers the interrupt until the stream is no longer live", () => {
  assert.deepEqual(present({ ...facts, stopUnanswered: true }).actions, ["stop", "interrupt", "copy"]);
  assert.deepEqual(present({ ...facts, last: complete, stopUnanswered: true }).actions, ["regenerate", "copy"]);
});

test("news of the state leave the rest as it was", () => {
  assert.deepEqual(merge(streaming, { offset: 7, line: "x" }), { ...streaming, offset: 7, line: "x" });
  assert.equal(merge(null, { offset: 7 }).state, "connecting");
});

test("how often text comes, and why, is said while it comes", () => {
  const last = { ...streaming, pace: "a page every 1 s: tab hidden" };
  assert.equal(present({ ...facts, last }).why, last.pace);
  assert.equal(present({ ...facts, last: { ...complete, pace: last.pace } }).why, undefined);
  const kept = { ...last, kept: true, offset: 4 };
  assert.equal(present({ ...facts, last: kept }).why, `saved up to record 4 · ${last.pace}`);
  assert.equal(present({ ...facts, last: { ...kept, offset: -1 } }).why, last.pace);
});
