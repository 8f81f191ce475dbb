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

/** Those of them that a process may have otherwise which takes over from this one; of `control` not the socket. */
export const BY_UPGRADE: readonly string[] = ["capture", "control", "log"];

const NOT_WHILE_RUNNING = "cannot change while xdpsteer runs";

/** @returns Whether a configuration was refused only for what a restart puts in force. @param message Of the error. */
export function needsRestart(message: string): boolean {
  return message.includes(NOT_WHILE_RUNNING);
}

/** @returns Whether a handover puts in force what a configuration was refused for. @param message Of the error. */
export function needsUpgrade(message: string): boolean {
  const [keys = ""] = message.split(` ${NOT_WHILE_RUNNING}`);
  return needsRestart(message) && keys.split(", ").every((key) => BY_UPGRADE.includes(key));
}

/** @throws {SteerError} where a configuration changes what a process that takes over has to have as it is. */
export function requireHanded(next: Config, inForce: Config): void {
  const { log, capture, control } = inForce;
  const { socket } = next.control;
  requireFixed({ ...next, log, capture, control: { ...control, socket } }, inForce);
}

/** @throws {SteerError} where a configuration changes what is fixed of the one in force. */
export function requireFixed(next: Config, inForce: Config): void {
  const changed = FIXED.filter((key) => !isDeepStrictEqual(fixedPart(next, key), fixedPart(inForce, key)));
  if (changed.length === 0) return;
  throw new SteerError(`${changed.join(", ")} ${NOT_WHILE_RUNNING}; nothing was applied`, {
    hint: changed.every((key) => BY_UPGRADE.includes(key)) && next.control.socket === inForce.control.socket
      ? "xdpsteer upgrade puts it in force, and loses no packet; or undo that part of the change"
      : "restart xdpsteer to change it, or undo that part of the change",
    exitCode: EXIT.configInvalid,
  });
}

/** What of a section cannot change while the process runs. */
export function fixedPart(config: Config, key: typeof FIXED[number]): unknown {
  if (key !== "forwarding") return config[key];
  const live: readonly string[] = LIVE_KEYS.forwarding;
  return Object.fromEntries(Object.entries(config.forwarding).filter(([name]) => !live.includes(name)));
}
