/**
 * How what a configuration changes is put in force: while packets are steered, by a process that takes over, or by a
 * restart only. Declared once, here; documents, answers and tests are made from it.
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import { EXIT, SteerError } from "../errors.ts";
import { type KeyDifference, keysThatDiffer } from "./keys.ts";

/**
 * `live`: this process does it. `handover`: a process with the new configuration takes over, and no packet is lost.
 * `restart`: a queue's sockets cannot have it otherwise while they are bound.
 */
export type Way = "live" | "handover" | "restart";

/** By key; what is not named here changes as what it is part of. `*` is any interface. */
export const WAYS = {
  interfaces: "handover", // which there are
  "interfaces.*": "restart",
  "interfaces.*.rings.rx": "handover",
  "interfaces.*.rings.tx": "handover",
  workers: "handover",
  forwarding: "handover",
  "forwarding.addresses": "live",
  capture: "handover",
  control: "handover",
  "control.socket": "restart",
  log: "handover",
} as const satisfies Readonly<Record<string, Way>>;

/**
 * What bounds those who may use the control socket: who they are, and where their captures may lie. They cannot change
 * it; only the file does.
 */
const OF_THE_FILE = ["capture", "control"] as const;

/** Sections of which this process cannot change everything. */
export const FIXED = ["interfaces", "workers", "forwarding", "capture", "control", "log"] as const;

/** How a key of the configuration changes, by its path: `["workers", "count"]`. */
export function wayOf(keys: readonly string[]): Way {
  const known: Readonly<Record<string, Way>> = WAYS;
  const path = keys.map((key, depth) => depth === 1 && keys[0] === "interfaces" ? "*" : key);
  for (let depth = path.length; depth > 0; depth--) {
    const way = known[path.slice(0, depth).join(".")];
    if (way !== undefined) return way;
  }
  return "live";
}

/** What of a configuration this process cannot put in force. */
export interface FixedDifference {
  /** A line for each key, by how it is put in force instead. */
  readonly handover: readonly string[];
  readonly restart: readonly string[];
}

/** What differs in some sections. */
function differences(sections: readonly (keyof Config)[], inForce: Config, next: Config): KeyDifference[] {
  return sections.flatMap((key) => keysThatDiffer([key], inForce[key], next[key]));
}

/** Names of the keys in some sections that differ, and that only a restart changes. */
export function restartKeys(sections: readonly (keyof Config)[], inForce: Config, next: Config): string[] {
  return differences(sections, inForce, next).filter(({ keys }) => wayOf(keys) === "restart").map(nameOf);
}

export function fixedDifference(inForce: Config, next: Config): FixedDifference {
  const found = differences(FIXED, inForce, next);
  const by = (way: Way): string[] => found.filter(({ keys }) => wayOf(keys) === way).map(({ words }) => words);
  return { handover: by("handover"), restart: by("restart") };
}

const NOT_WHILE_RUNNING = "cannot change while xdpsteer runs";

/** @returns Whether a configuration was refused only for what a restart puts in force. @param message Of the error. */
export function needsRestart(message: string): boolean {
  return message.includes(NOT_WHILE_RUNNING);
}

/** @throws {SteerError} where a configuration changes what no process can put in force that takes over. */
export function requireHanded(next: Config, inForce: Config): void {
  const keys = restartKeys(FIXED, inForce, next);
  if (keys.length === 0) return;
  throw new SteerError(`${keys.join(", ")} ${NOT_WHILE_RUNNING}; nothing was applied`, {
    hint: "systemctl restart xdpsteer puts it in force, or undo that part of the change",
    exitCode: EXIT.configInvalid,
  });
}

/** @throws {SteerError} where a configuration of a request changes what only the file does. */
export function requireOfFile(next: Config, inForce: Config): void {
  const found = differences(OF_THE_FILE, inForce, next);
  if (found.length === 0) return;
  throw new SteerError(`${found.map(nameOf).join(", ")} cannot be changed by a request; nothing was applied`, {
    hint: "change it in the configuration file: it bounds what requests may do",
    exitCode: EXIT.configInvalid,
  });
}

function nameOf({ keys }: KeyDifference): string {
  return keys.join(".");
}
