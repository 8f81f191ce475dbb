import assert from "node:assert/strict";
import { bar, duration, fitLine, fitText, lineWidth, oneLine, renderLine, span, sparkline, widthOf } from "./text.ts";

Deno.test("widthOf() counts columns, not characters", () => {
  assert.equal(widthOf("steer0"), 6);
  assert.equal(widthOf("▁█…↑"), 4);
  assert.equal(widthOf("包装"), 4);
  assert.equal(widthOf("e\u0301\u200d"), 1);
  assert.equal(widthOf("🚀"), 2);
});

Deno.test("fitText() cuts with a mark and never goes beyond the width", () => {
  assert.equal(fitText("telemetry", 9), "telemetry");
  assert.equal(fitText("telemetry", 8), "telemet…");
  assert.equal(fitText("包装包装", 6), "包装…");
  assert.equal(fitText("abc", 0), "");
});

Deno.test("fitLine() cuts across spans, and says so where it cuts between two", () => {
  const line = [span("abc", "bold"), span("def", "bad")];
  for (let width = 0; width <= 6; width++) {
    const fitted = fitLine(line, width);
    const text = fitted.map((part) => part.text).join("");
    assert.ok(lineWidth(fitted) <= width);
    assert.equal(text, width === 6 ? "abcdef" : width === 0 ? "" : `${"abcdef".slice(0, width - 1)}…`);
  }
});

Deno.test("oneLine() lets nothing through that steers a terminal", () => {
  assert.equal(oneLine("a\x1b[2Jb\x07\x9bc\nsecond"), "a [2Jb c");
});

Deno.test("renderLine() uses the 16 colours, or only what is no colour, or nothing", () => {
  const line = [span("7", "bad"), span(" "), span("head", "heading"), span("x", "good"), span("  ")];
  assert.equal(renderLine(line, "colour"), "\x1b[1;31m7\x1b[0m \x1b[30;47mhead\x1b[0m\x1b[32mx\x1b[0m  ");
  assert.equal(renderLine(line, "plain"), "\x1b[1m7\x1b[0m \x1b[7mhead\x1b[0mx  ");
  assert.equal(renderLine(line, "none"), "7 headx");
});

Deno.test("sparkline() keeps its lowest block for zero, and the last samples", () => {
  assert.equal(sparkline([0, 1, 50, 100], 6), "  ▁▂▄▇");
  assert.equal(sparkline([900, 0, 0], 2), "▁▁");
  assert.equal(sparkline([], 3), "   ");
});

Deno.test("bar() and duration() show what they are given", () => {
  assert.equal(bar(0.44, 10), "████░░░░░░");
  assert.equal(bar(7, 4), "████");
  assert.equal(duration(59_999), "00:00:59");
  assert.equal(duration(((26 * 60 + 3) * 60 + 4) * 1000), "1d 02:03:04");
});
