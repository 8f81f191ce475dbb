/**
 * What a configuration file holds at one moment.
 *
 * @module
 */
import { readConfig } from "../config/load.ts";
import { messageOf } from "../errors.ts";

/** Its bytes, or in words why they cannot be read. */
export type FileContent = Uint8Array | string;

export interface Found {
  /** Equal where the file was found the same. */
  readonly identity: FileContent;
  /** Undefined where it cannot be read. */
  readonly content?: Uint8Array | undefined;
  /** Why it cannot be read. */
  readonly failure?: unknown;
}

/** Reads the configuration file at `path`, or says why it cannot be read. */
export function readFound(path: string): Found {
  try {
    const content = readConfig(path);
    return { identity: content, content };
  } catch (failure) {
    return { identity: identityOf({ failure }), failure };
  }
}

export function identityOf({ content, failure }: Omit<Found, "identity">): FileContent {
  return content ?? `unreadable: ${messageOf(failure)}`;
}
