/**
 * Drawing on a terminal over what was drawn before: each frame is one write, without a clear, so that nothing flickers.
 *
 * @module
 */
import { write } from "./output.ts";

/** Goes up over `rows` lines that end above the cursor. */
export function upOver(rows: number): string {
  return rows === 0 ? "" : `\x1b[${rows}A`;
}

/**
 * The lines, each to replace what stands in its row. Erasing comes first: after a line of full width it would take its
 * end.
 */
export function overwriting(lines: readonly string[]): string {
  return lines.map((line) => `\x1b[2K${line}`).join("\r\n");
}

// A terminal that knows synchronized output shows a frame when it is whole; others ignore these.
const FRAME_BEGINS = "\x1b[?2026h\x1b[H";
const FRAME_ENDS = "\x1b[?2026l";
/** Alternate screen, no cursor, no wrapping: a line that is too wide after all must not move the others. */
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const DEFAULT_SIZE = { columns: 80, rows: 24 };

/** Whether standard output is a terminal that can be drawn on. */
export function canDraw(): boolean {
  return Deno.stdout.isTerminal() && Deno.env.get("TERM") !== "dumb";
}

/** Resolves with the first signal that would end the process, which from now on does not: the screen is left first. */
export function untilSignal(): PromiseWithResolvers<void> {
  const ended = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
    Deno.addSignalListener(signal, () => ended.resolve());
  }
  return ended;
}

/** The whole terminal, with keys unbuffered and unechoed, until disposed of: then it is as it was. */
export class FullScreen implements Disposable {
  readonly #raw = Deno.stdin.isTerminal();
  readonly #leave = (): void => this[Symbol.dispose]();
  #open = true;

  constructor() {
    globalThis.addEventListener("unload", this.#leave); // Deno.exit() runs no finally
    if (this.#raw) Deno.stdin.setRaw(true);
    write(ENTER);
  }

  get size(): { columns: number; rows: number } {
    const { columns, rows } = Deno.consoleSize();
    return columns > 0 && rows > 0 ? { columns, rows } : DEFAULT_SIZE;
  }

  /** @param lines As many as the screen has rows. */
  draw(lines: readonly string[]): void {
    if (this.#open) write(`${FRAME_BEGINS}${overwriting(lines)}${FRAME_ENDS}`);
  }

  /** What is typed, as it comes; ends where there is no keyboard. */
  async *typed(): AsyncGenerator<string> {
    if (!this.#raw) return;
    for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) yield text;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    globalThis.removeEventListener("unload", this.#leave);
    try {
      write(LEAVE);
      if (this.#raw) Deno.stdin.setRaw(false);
    } catch {
      // The terminal is gone: there is nothing to restore.
    }
  }
}
