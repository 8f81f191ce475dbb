/**
 * Bans in the state directory: so that they outlive a restart.
 *
 * @module
 */
import type { KeptFile } from "../config/kept_file.ts";
import { messageOf, SteerError } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import type { Ban, Bans } from "./bans.ts";

/** Changes in a row are written together. */
const WRITE_MS = 500;
const VERSION = 1;
/** Bytes of the largest file that is read: as many bans as there can be, with long reasons. */
export const MAX_BAN_FILE = 64 * 1024 * 1024;

const log = logger("bans");

export class BanFile {
  readonly #timers: Timers;
  #waiting: Disposable | undefined;
  #bans: Bans | undefined;
  #writing: Promise<void> = Promise.resolve();
  #hasFailed = false;

  constructor(private readonly file: KeptFile, timers: Timers = SYSTEM_TIMERS) {
    this.#timers = timers;
  }

  /** The bans that were kept. None where they cannot be read: then the log says why. */
  read(): Ban[] {
    try {
      const bytes = this.file.read();
      return bytes === undefined ? [] : bansIn(JSON.parse(new TextDecoder().decode(bytes)));
    } catch (error) {
      log.warn("The bans of before are not in force: {reason}", { reason: messageOf(error) });
      return [];
    }
  }

  /** Keeps the bans as they are half a second from now. */
  keep(bans: Bans): void {
    this.#bans = bans;
    this.#waiting ??= this.#timers.after(WRITE_MS, () => void this.flush());
  }

  /** Keeps them now. Resolves when that is done. */
  flush(): Promise<void> {
    if (this.#waiting === undefined) return this.#writing;
    this.#waiting[Symbol.dispose]();
    this.#waiting = undefined;
    const bans = this.#bans!.all();
    const content = new TextEncoder().encode(`${JSON.stringify({ version: VERSION, bans })}\n`);
    return this.#writing = this.#writing.then(() => this.file.write(content)).then(
      () => void (this.#hasFailed = false),
      (error) => {
        if (!this.#hasFailed) log.warn("Bans cannot be kept: {reason}", { reason: messageOf(error) });
        this.#hasFailed = true;
      },
    );
  }
}

/** @throws {SteerError} for anything else than what was written. */
function bansIn(content: unknown): Ban[] {
  const { version, bans } = (content ?? {}) as { readonly version?: unknown; readonly bans?: unknown };
  if (version !== VERSION || !Array.isArray(bans) || !bans.every(isBan)) {
    throw new SteerError("the file does not hold bans as this version writes them");
  }
  return bans;
}

function isBan(value: unknown): value is Ban {
  const { prefix, rule, since, until, by, origin, reason } = (value ?? {}) as Record<keyof Ban, unknown>;
  const isText = (text: unknown): boolean => typeof text === "string";
  const isTime = (text: unknown): boolean => isText(text) && !Number.isNaN(Date.parse(text as string));
  return isText(prefix) && (rule === null || isText(rule)) && isTime(since) && (until === null || isTime(until)) &&
    isText(by) && (origin === "operator" || origin === "limit") && (reason === null || isText(reason));
}
