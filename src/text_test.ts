import assert from "node:assert/strict";
import { escapeControls, escapeLines, firstOf, hasControls, plural, roundMs, shortened, toJson } from "./text.ts";

const EVIL = "a\x1b[2J\x9b1m\u202e\u2028b\x7f";

Deno.test("escapeControls() leaves nothing that steers a terminal, and all else as it is", () => {
  assert.equal(escapeControls(EVIL), "a\\x1b[2J\\x9b1m\\u202e\\u2028b\\x7f");
  assert.equal(escapeControls("a\tb\r\nc"), "a\\tb\\r\\nc");
  assert.equal(escapeControls("Straße 東京 \\x1b"), "Straße 東京 \\x1b");
  assert.equal(escapeLines("a\n\x1bb"), "a\n\\x1bb");
  assert.equal(hasControls(escapeControls(EVIL)), false);
  assert.deepEqual([hasControls(EVIL), hasControls(EVIL), hasControls("eth0")], [true, true, false]);
});

Deno.test("toJson() is JSON of the same value without control characters", () => {
  assert.deepEqual(JSON.parse(toJson({ [EVIL]: EVIL })), { [EVIL]: EVIL });
  assert.equal(hasControls(toJson({ [EVIL]: EVIL })), false);
});

Deno.test("plural() gives one of a thing no s", () => {
  const texts = [0, 1, 2].flatMap((count) =>
    ["rule", "rx queue", "entry", "key", "address"].map((n) => plural(count, n))
  );
  assert.deepEqual(texts, [
    ...["0 rules", "0 rx queues", "0 entries", "0 keys", "0 addresses"],
    ...["1 rule", "1 rx queue", "1 entry", "1 key", "1 address"],
    ...["2 rules", "2 rx queues", "2 entries", "2 keys", "2 addresses"],
  ]);
});

Deno.test("roundMs() keeps microseconds", () => assert.equal(roundMs(0.957646000002569), 0.958));

Deno.test("firstOf() says how many are left out, shortened() keeps whole words", () => {
  assert.equal(firstOf([], 20), "");
  assert.equal(firstOf(["a", "b"], 20), "a; b");
  assert.equal(firstOf(["one", "two", "three", "four"], 10), "one; two; and 2 more");
  assert.equal(firstOf(["one two three", "four"], 10), "one two…; and 1 more");
  assert.equal(shortened("one two three", 13), "one two three");
  assert.equal(shortened("one two three", 12), "one two…");
  assert.equal(shortened("one-two-three", 5), "one-…");
  assert.equal(shortened("one😀", 4), "one…");
});
