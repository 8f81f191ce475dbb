import assert from "node:assert/strict";
import { FIRST_VIEW, keysIn, press, SORTS, type View } from "./view.ts";

const after = (keys: string, page = 10): View =>
  keysIn(keys).reduce<View>((view, key) => press(view, key, page)!, FIRST_VIEW);

Deno.test("keysIn() tells sequences from keys, several at once", () => {
  assert.deepEqual(keysIn("s\x1b[A\x1bOB\x1b[6~\tq\x03\x1b[1;5C"), [
    "s",
    "up",
    "down",
    "page down",
    "tab",
    "q",
    "ctrl-c",
    "\x1b[1;5C",
  ]);
});

Deno.test("press() sorts by the next, the previous or a numbered column, and reverses", () => {
  assert.equal(SORTS[after("s").sort], "total");
  assert.equal(SORTS[after("<").sort], "drops");
  assert.equal(SORTS[after("s>ss").sort], "rate");
  assert.equal(SORTS[after("3").sort], "name");
  assert.equal(after("r").reversed, true);
  assert.equal(after("r4").reversed, false, "another column starts in its own order");
  for (const key of ["0", "5", " ", "\r", "\x1b[1;5C"]) assert.deepEqual(after(key), FIRST_VIEW);
});

Deno.test("press() scrolls the focused section only, and never above its first row", () => {
  assert.deepEqual(after("\x1b[B\x1b[6~\x1b[A").offsets, [10, 0, 0, 0]);
  assert.deepEqual(after("\t\x1b[6~\t\x1b[B\t\t\x1b[A").offsets, [0, 10, 1, 0]);
  assert.deepEqual(after("\x1b[6~\x1b[H").offsets, [0, 0, 0, 0]);
});

Deno.test("press() skips the backends where there are none", () => {
  assert.equal(press({ ...FIRST_VIEW, focus: 2 }, "tab", 10, 3)!.focus, 0);
  assert.equal(press({ ...FIRST_VIEW, focus: 2 }, "tab", 10, 4)!.focus, 3);
});

Deno.test("press() quits with q and Ctrl-C, from the help too; any other key leaves the help and does no more", () => {
  for (const view of [FIRST_VIEW, after("h")]) {
    assert.equal(press(view, "q", 1), undefined);
    assert.equal(press(view, "ctrl-c", 1), undefined);
  }
  assert.deepEqual(after("?s"), FIRST_VIEW);
  assert.equal(after("pp").paused, false);
  assert.equal(after("p").paused, true);
});
