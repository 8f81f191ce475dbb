/**
 * What is asked of a live change, and what is told of it.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { plural } from "../text.ts";
import type { Handover } from "./handover/estate.ts";
import type { Applied } from "./steering.ts";
import type { UnconfirmedState } from "./unconfirmed.ts";

/** Configurations offered since the start, by what became of them. */
export interface ReloadCounts {
  applied: number;
  unchanged: number;
  refused: number;
}

export interface LastReload {
  readonly time: string;
  readonly result: keyof ReloadCounts;
  /** Why it was refused, or what it changed. */
  readonly message: string;
}

/** What the configuration file has to do with what is in force. */
export interface FileState {
  /** Why it could not be put in force as it is: a restart would fail, or change more. Null where it could. */
  readonly refused: { readonly time: string; readonly message: string } | null;
  /** Path of the last good configuration, where that is in force since the start because the file is refused. */
  readonly lastGood: string | null;
  /** What it loses, where it is put in force only when it is still so in that many seconds. */
  readonly settling: { readonly lost: number; readonly rules: number; readonly secondsLeft: number } | null;
  /** What a restart would undo: rules in force that the file does not have, in words; none where it has them all. */
  readonly unsaved: readonly string[];
  /** What is in force, and is taken back unless it is confirmed. */
  readonly unconfirmed: UnconfirmedState | null;
}

/** Who asks for the file to be read. The watch may have seen half a save; the others say that it is complete. */
export type Asker = "watch" | "signal" | "reload";

/** What put the generation in force there. */
export type PutBy = Asker | "request" | "start" | "unconfirmed";

/** What a reload did. */
export interface Reloaded extends Applied {
  /** What is odd about the configuration, as `check` says it; of rules that are changed, what is new. */
  readonly warnings: readonly string[];
  /** Seconds after which it is taken back, unless it is confirmed. */
  readonly confirmWithin?: number;
  /** Where another process has put it in force by taking over; of a dry run, where one would have to. */
  readonly handover?: Handover | "needed";
  /** Where it changed nothing: what has put the generation in force, and when. */
  readonly inForce?: { readonly by: PutBy; readonly since: string; readonly secondsAgo: number };
}

/** Under what circumstances a change is made. */
export interface Conditions {
  /** Only while one of these generations is in force; undefined: whichever is. */
  readonly generations?: readonly number[] | undefined;
  /** Checks everything and says what would change, and changes nothing. */
  readonly dryRun?: boolean | undefined;
  /** It is taken back after so many seconds, unless it is confirmed. */
  readonly confirm?: number | undefined;
}

/** In what is said of a file that was taken back. */
export const NOT_CONFIRMED = "was taken back since nobody confirmed it";

/** A change that is not made, since one before it waits to be confirmed. */
export class UnconfirmedError extends SteerError {
  constructor({ secondsLeft }: UnconfirmedState) {
    super(`A change waits for its confirmation, for ${plural(secondsLeft, "second")} more: no other is made`, {
      hint: "xdpsteer confirm keeps it; with --confirm, this change and that one are confirmed together",
    });
  }
}

/** A change that was asked for on top of a generation that is not in force. */
export class StaleError extends SteerError {
  constructor(readonly generation: number) {
    super(`Generation ${generation} is in force, and not the one that the change was made for`, {
      hint: "read the configuration again, and make the change in that",
    });
  }
}
