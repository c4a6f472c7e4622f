import assert from "node:assert/strict";
import { test } from "node:test";

import { pretty, PRETTY_UNITS } from "../src/json.js";

for (const value of [
  {}, [], { a: {} }, [[]], [1, "two", null, true, -0.5e10], { "a\"b\\": ["\u2028", "}", ",:"], c: { d: [{}, { e: 1 }] } },
]) {
  test(`as JSON.stringify indents: ${JSON.stringify(value)}`, () => {
    assert.equal(pretty(JSON.stringify(value)), JSON.stringify(value, null, 2));
    assert.equal(pretty(JSON.stringify(value, null, 7)), JSON.stringify(value, null, 2));
  });
}

test("nothing is changed: long numbers, doubled keys, escapes", () => {
  assert.equal(pretty('{"a":1.000,"a":12345678901234567890,"b":"\\u0041"}'), '{\n  "a": 1.000,\n  "a": 12345678901234567890,\n  "b": "\\u0041"\n}');
});

test("what is no object and no list, or not whole, or too long, is left alone", () => {
  for (const text of ["", "1", '"a"', "{", '{"a":}', "not json", `[${"1,".repeat(PRETTY_UNITS)}1]`]) assert.equal(pretty(text), null);
});

test("nesting costs no more than the text and a few spaces a level", () => {
  const deep = "[".repeat(20_000) + "]".repeat(20_000);
  const shown = pretty(deep);
  assert.ok(shown === null || shown.length < 100 * deep.length);
});
