/**
 * Words and numbers for people, and text that comes from elsewhere made safe to print.
 *
 * @module
 */

/** C0 and C1 controls, the line separators of Unicode, and what changes the direction of writing. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu;
const ANY_CONTROL = new RegExp(CONTROLS.source, "u");
const SHORT_ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** True for text that could end a line, steer a terminal, or turn the direction of writing. */
export function hasControls(text: string): boolean {
  return ANY_CONTROL.test(text);
}

/** The text on one line, safe to print: each control character as an escape, `\x1b`. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (character) => {
    const code = character.charCodeAt(0);
    return SHORT_ESCAPES[character] ??
      (code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`);
  });
}

/** As {@linkcode escapeControls}, but line breaks stay. */
export function escapeLines(text: string): string {
  return text.split("\n").map(escapeControls).join("\n");
}

/**
 * JSON that is safe to print: JSON leaves some control characters as they are. They stand in strings, where the escape
 * is the same.
 */
export function toJson(value: unknown): string {
  return JSON.stringify(value).replace(
    CONTROLS,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** `1 rule`, `2 rules`, `2 entries`. */
export function plural(count: number, noun: string): string {
  return `${count} ${nounFor(count, noun)}`;
}

/** The noun alone, for where the number stands elsewhere. */
export function nounFor(count: number, noun: string): string {
  return count === 1 ? noun : `${noun.replace(/([^aeiou])y$/, "$1ie").replace(/(ch|sh|s|x)$/, "$1e")}s`;
}

/** The first of many items, `a; b; and 97 more`: no more than `length` characters, but for the first item itself. */
export function firstOf(items: readonly string[], length: number): string {
  let text = shortened(items[0] ?? "", length);
  for (const [at, item] of items.entries()) {
    if (at === 0) continue;
    const more = `${text}; ${item}`;
    if (more.length > length) return `${text}; and ${items.length - at} more`;
    text = more;
  }
  return text;
}

/** The text, or as many of its words as fit into `length` characters with an ellipsis behind them. */
export function shortened(text: string, length: number): string {
  if (text.length <= length) return text;
  const start = text.slice(0, length - 1);
  const whole = start.replace(/\s+\S*$/, "");
  return `${(whole === "" ? start : whole).replace(/[\ud800-\udbff]$/, "")}…`;
}

/** `0.4 s`, `12 s`: a time in which something lasted, rounded up. */
export function secondsText(ms: number): string {
  return ms < 10_000 ? `${(Math.ceil(ms / 100) / 10).toFixed(1)} s` : `${Math.ceil(ms / 1000)} s`;
}

/** Milliseconds to the microsecond: more digits are noise of the clock. */
export function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
