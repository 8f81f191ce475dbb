/**
 * What of a configuration cannot change while the process runs.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { Config } from "../config/schema.ts";
import { EXIT, SteerError } from "../errors.ts";

/** Keys of the configuration that are fixed for the life of the process. */
export const FIXED = ["interfaces", "workers", "forwarding", "capture", "control", "log"] as const;
/** Keys of these that are not. */
export const LIVE_KEYS = { forwarding: ["addresses"] } as const satisfies {
  readonly [Key in typeof FIXED[number]]?: readonly (keyof Config[Key])[];
};

const NOT_WHILE_RUNNING = "cannot change while xdpsteer runs";

/** @returns Whether a configuration was refused only for what a restart puts in force. @param message Of the error. */
export function needsRestart(message: string): boolean {
  return message.includes(NOT_WHILE_RUNNING);
}

/** @throws {SteerError} where a configuration changes what is fixed of the one in force. */
export function requireFixed(next: Config, inForce: Config): void {
  const changed = FIXED.filter((key) => !isDeepStrictEqual(fixedPart(next, key), fixedPart(inForce, key)));
  if (changed.length === 0) return;
  throw new SteerError(`${changed.join(", ")} ${NOT_WHILE_RUNNING}; nothing was applied`, {
    hint: "restart xdpsteer to change it, or undo that part of the change",
    exitCode: EXIT.configInvalid,
  });
}

/** What of a section cannot change while the process runs. */
export function fixedPart(config: Config, key: typeof FIXED[number]): unknown {
  if (key !== "forwarding") return config[key];
  const live: readonly string[] = LIVE_KEYS.forwarding;
  return Object.fromEntries(Object.entries(config.forwarding).filter(([name]) => !live.includes(name)));
}
