/**
 * The log: structured records, as text for people or JSON lines for programs, always to standard error. The only place that
 * sets logging up; everything else asks {@linkcode logger} for its category.
 *
 * @module
 */
import {
  configureSync,
  getAnsiColorFormatter,
  getLogger,
  getTextFormatter,
  type Logger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";

export type { Logger };

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  /** auto: text on a terminal, JSON lines elsewhere. */
  readonly format: "auto" | "text" | "json";
}

const LEVELS: Readonly<Record<LogOptions["level"], LogLevel>> = {
  debug: "debug",
  info: "info",
  warn: "warning",
  error: "error",
};

/** Sets level and format for the whole process; may be called again. */
export function configureLog({ level, format }: LogOptions): void {
  const terminal = Deno.stderr.isTerminal();
  const text = format === "text" || (format === "auto" && terminal);
  const formatter = !text
    ? jsonLine
    : terminal && !Deno.env.get("NO_COLOR")
    ? getAnsiColorFormatter({ timestamp: "time", level: "FULL", value: plain })
    : getTextFormatter({ timestamp: "time", level: "FULL", value: plain });
  const encoder = new TextEncoder();
  configureSync({
    reset: true,
    sinks: {
      // Synchronous, so that the last words of a process that ends are not lost.
      stderr: (record: LogRecord): void => {
        try {
          Deno.stderr.writeSync(encoder.encode(formatter(record) as string));
        } catch {
          // Nobody reads standard error any more; the data path matters more than the log.
        }
      },
    },
    loggers: [
      { category: "xdpsteer", lowestLevel: LEVELS[level], sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["stderr"] },
    ],
  });
}

/** Values stand in a sentence as a person would write them: no quotes round words, lists with commas. */
function plain(value: unknown): string {
  return Array.isArray(value)
    ? value.map(plain).join(", ")
    : typeof value === "object"
    ? JSON.stringify(value)
    : `${value}`;
}

/** One record as one line of JSON: the sentence, and the facts in it under their own names. */
function jsonLine({ timestamp, level, category, message, properties }: LogRecord): string {
  // The parts of a message alternate: text, value, text, ...
  const sentence = message.map((part, index) => index % 2 === 0 ? part : plain(part)).join("");
  const time = new Date(timestamp).toISOString();
  return `${JSON.stringify({ time, level, logger: category.join("."), message: sentence, properties })}\n`;
}

/** The logger of one part of the program: `logger("control")`. */
export function logger(part: string): Logger {
  return getLogger(["xdpsteer", part]);
}
