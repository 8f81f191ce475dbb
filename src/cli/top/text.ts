/**
 * Styled text of a known width: pure.
 *
 * @module
 */
import { escapeControls } from "../../text.ts";

const STYLES = {
  bold: { colour: "1", plain: "1" },
  dim: { colour: "90", plain: "" },
  good: { colour: "32", plain: "" },
  warning: { colour: "33", plain: "" },
  bad: { colour: "1;31", plain: "1" },
  alert: { colour: "97;41", plain: "7" },
  accent: { colour: "36", plain: "" },
  heading: { colour: "30;47", plain: "7" },
  focused: { colour: "30;46", plain: "7" },
} as const;
export type Style = keyof typeof STYLES;

/** How styles come out: with colours of the terminal's own 16, without, or not at all. */
export type Palette = "colour" | "plain" | "none";

export interface Span {
  readonly text: string;
  readonly style?: Style | undefined;
}
export type Line = readonly Span[];

/** Text that comes from elsewhere cannot steer the terminal: control characters become escapes. */
export function span(text: string, style?: Style): Span {
  return { text: escapeControls(text), style };
}

const WIDE =
  /^(?:[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|[\u{20000}-\u{3fffd}])/u;
const NO_WIDTH = /^[\p{M}\p{Cf}]/u;
const CONTROL = /\p{Cc}+/gu;

function charWidth(char: string): number {
  if (char >= " " && char <= "~") return 1;
  return NO_WIDTH.test(char) ? 0 : WIDE.test(char) ? 2 : 1;
}

/** Columns that a text takes on a terminal. */
export function widthOf(text: string): number {
  let width = 0;
  for (const char of text) width += charWidth(char);
  return width;
}

export function lineWidth(line: Line): number {
  return line.reduce((width, { text }) => width + widthOf(text), 0);
}

/** What came from elsewhere must not steer the terminal: the first line of it, without control characters. */
export function oneLine(text: string): string {
  return text.split("\n", 1)[0]!.replace(CONTROL, " ");
}

/** The text if it fits, else its beginning and "…". */
export function fitText(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width < 1) return "";
  let kept = "";
  let used = 0;
  for (const char of text) {
    used += charWidth(char);
    if (used > width - 1) break;
    kept += char;
  }
  return `${kept}…`;
}

/** At most `width` columns of a line. */
export function fitLine(line: Line, width: number): Line {
  if (lineWidth(line) <= width) return line;
  const fitted: Span[] = [];
  let left = width;
  for (const { text, style } of line) {
    const used = widthOf(text);
    // A text that just fills the line is cut too where more would follow: the mark says so.
    fitted.push(span(used < left ? text : fitText(`${text} `, left), style));
    left -= used;
    if (left <= 0) break;
  }
  return fitted;
}

export function pad(text: string, width: number, align: "left" | "right"): string {
  const missing = " ".repeat(Math.max(0, width - widthOf(text)));
  return align === "left" ? text + missing : missing + text;
}

/** The line as a terminal takes it. */
export function renderLine(line: Line, palette: Palette): string {
  if (palette === "none") return line.map(({ text }) => text).join("").trimEnd();
  return line.map(({ text, style }) => {
    const code = style === undefined ? "" : STYLES[style][palette];
    return code === "" ? text : `\x1b[${code}m${text}\x1b[0m`;
  }).join("");
}

/** Without the full block: the trends of two rows would run into each other. */
const LEVELS = "▁▂▃▄▅▆▇";

/**
 * The last `width` numbers, each as a block of its share of the greatest. The lowest block is zero and nothing else.
 */
export function sparkline(numbers: readonly number[], width: number): string {
  const shown = numbers.slice(-width);
  const most = Math.max(...shown, 0);
  const blocks = shown.map((number) =>
    LEVELS[number <= 0 ? 0 : Math.max(1, Math.round(number / most * (LEVELS.length - 1)))]!
  );
  return blocks.join("").padStart(width);
}

/** A share of 0 to 1 as a bar of `width` columns. */
export function bar(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}

/** Seconds as `2d 03:04:05`. */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (number: number): string => `${Math.floor(number)}`.padStart(2, "0");
  const days = Math.floor(seconds / 86_400);
  const clock = `${two(seconds / 3600 % 24)}:${two(seconds / 60 % 60)}:${two(seconds % 60)}`;
  return days > 0 ? `${days}d ${clock}` : clock;
}
