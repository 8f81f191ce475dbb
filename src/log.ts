/**
 * The log: structured records, as text for people or JSON lines for programs, always to standard error; the last of
 * them are kept for whoever asks. The only place that sets logging up; everything else asks {@linkcode logger} for its
 * category.
 *
 * @module
 */
import {
  compareLogLevel,
  configureSync,
  getAnsiColorFormatter,
  getLogger,
  getTextFormatter,
  type Logger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";

import { isJournal } from "./journal.ts";
import { forLocale } from "./locale.ts";
import { neverWait, type UnwaitingOutput, writeError } from "./stderr.ts";
import { escapeControls, toJson } from "./text.ts";

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

/** What sd-daemon(3) lets a line begin with; the journal takes it off and files the line under that priority. */
const PRIORITIES: Readonly<Record<LogLevel, string>> = {
  trace: "<7>",
  debug: "<7>",
  info: "<6>",
  warning: "<4>",
  error: "<3>",
  fatal: "<2>",
};

/** One record as the dashboard and the control API show it. */
export interface LogEvent {
  /** Grows by one with each event; never used twice in a process. */
  readonly id: number;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly level: "debug" | "info" | "warning" | "error" | "fatal";
  /** `xdpsteer.control` and the like. */
  readonly logger: string;
  /** The sentence, values put in; one line. */
  readonly message: string;
}

const KEPT_EVENTS = 200;
/** Characters of a message that are kept: a change of the configuration may take half a million to tell. */
const KEPT_LENGTH = 8192;
const recent: LogEvent[] = [];
const listeners = new Set<(event: LogEvent) => void>();
let nextId = 1;

/** The last records of level info and above, whatever level is printed; oldest first, at most 200. */
export function recentEvents(): readonly LogEvent[] {
  return [...recent];
}

/** Calls `listener` with every record from now on that {@linkcode recentEvents} keeps. Returns what ends that. */
export function onEvent(listener: (event: LogEvent) => void): () => void {
  // A wrapper, so that the same function may listen twice and each ends on its own.
  const entry = (event: LogEvent): void => listener(event);
  listeners.add(entry);
  return () => {
    listeners.delete(entry);
  };
}

function keep(record: LogRecord): void {
  if (compareLogLevel(record.level, "info") < 0) return;
  const event: LogEvent = {
    id: nextId++,
    time: new Date(record.timestamp).toISOString(),
    level: record.level === "trace" ? "debug" : record.level,
    logger: record.category.join("."),
    message: escapeControls(begun(sentence(record))),
  };
  recent.push(event);
  if (recent.length > KEPT_EVENTS) recent.shift();
  for (const listener of listeners) {
    try {
      listener(event);
    } catch {
      // A listener is somebody else's view of the log; its fault must not become the fault of whoever logs.
    }
  }
}

/** The beginning of what is too long to keep: a copy, since a slice would keep all of it. */
function begun(message: string): string {
  if (message.length <= KEPT_LENGTH) return message;
  return `${new TextDecoder().decode(new TextEncoder().encode(message.slice(0, KEPT_LENGTH)))}…`;
}

/** Sets level and format for the whole process; may be called again. */
export function configureLog({ level, format }: LogOptions): void {
  const terminal = Deno.stderr.isTerminal();
  const journal = !terminal && isJournal();
  const formatter = lineFormatter(format === "text" || (format === "auto" && terminal), terminal);
  configureSync({
    reset: true,
    sinks: {
      // Synchronous, so that the last words of a process that ends are not lost.
      stderr: (record: LogRecord): void => {
        if (compareLogLevel(record.level, LEVELS[level]) < 0) return;
        writeError(`${journal ? PRIORITIES[record.level] : ""}${formatter(record)}`);
      },
      recent: keep,
    },
    loggers: [
      // What is kept goes down to info even where less is printed.
      { category: "xdpsteer", lowestLevel: level === "debug" ? "debug" : "info", sinks: ["stderr", "recent"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["stderr"] },
    ],
  });
}

/** A line of another thread's log. */
export interface ForwardedLine {
  readonly part: string;
  readonly level: LogLevel;
  readonly template: string;
  readonly properties: Record<string, unknown>;
}

/** Has this thread's log written by another one, which calls {@linkcode writeForwarded}. */
export function forwardLog(send: (line: ForwardedLine) => void): void {
  configureSync({
    reset: true,
    sinks: {
      forward: ({ category, level, rawMessage, properties }: LogRecord): void => {
        const template = typeof rawMessage === "string" ? rawMessage : rawMessage.join("");
        send({ part: category.slice(1).join("."), level, template, properties });
      },
    },
    loggers: [
      { category: "xdpsteer", lowestLevel: "debug", sinks: ["forward"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: [] },
    ],
  });
}

/** Logs a line of another thread, as if it were one of this. */
export function writeForwarded({ part, level, template, properties }: ForwardedLine): void {
  const log = logger(part);
  if (level === "error" || level === "fatal") log.error(template, properties);
  else if (level === "warning") log.warn(template, properties);
  else if (level === "info") log.info(template, properties);
  else log.debug(template, properties);
}

/**
 * From now on nobody waits for who reads standard error. When it takes lines again after some were lost, the log says
 * how many.
 *
 * @param output Called with the first line.
 */
export function neverWaitForReader(output: () => UnwaitingOutput): void {
  neverWait(output, (lines) => {
    const what = lines === 1 ? "line of the log was" : "lines of the log were";
    logger("log").warn(`{lines} ${what} lost: nobody read standard error`, { lines });
  });
}

function lineFormatter(text: boolean, terminal: boolean): (record: LogRecord) => string {
  if (!text) return jsonLine;
  const options = {
    timestamp: "time",
    level: "FULL",
    category: ".", // the logger has the same name in JSON
    // What spans lines, a place in the configuration with its caret, stays readable on a terminal. The bar tells such a
    // line from a record of its own. Whatever takes text from elsewhere goes by lines, so there it stays one.
    value: (value: unknown): string =>
      terminal ? plain(value).split("\n").map(escapeControls).join("\n  | ") : escapeControls(plain(value)),
  } as const;
  // By the rule of no-color.org an empty NO_COLOR is as good as none.
  const format = terminal && !Deno.env.get("NO_COLOR") ? getAnsiColorFormatter(options) : getTextFormatter(options);
  return (record) => forLocale(format(record));
}

/** Values stand in a sentence as a person would write them: no quotes round words, lists with commas. */
function plain(value: unknown): string {
  return Array.isArray(value)
    ? value.map(plain).join(", ")
    : typeof value === "object"
    ? JSON.stringify(value)
    : `${value}`;
}

/** The message with its values put in; its parts alternate: text, value, text, ... */
function sentence({ message }: LogRecord): string {
  return message.map((part, index) => index % 2 === 0 ? part : plain(part)).join("");
}

/** One record as one line of JSON: the sentence, and the facts in it under their own names. */
function jsonLine(record: LogRecord): string {
  const { timestamp, level, category, properties } = record;
  const time = new Date(timestamp).toISOString();
  return `${toJson({ time, level, logger: category.join("."), message: sentence(record), properties })}\n`;
}

/** The logger of one part of the program: `logger("control")`. */
export function logger(part: string): Logger {
  return getLogger(["xdpsteer", part]);
}
