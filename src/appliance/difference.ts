/**
 * What a configuration would change of the one in force, and how: while packets are steered, or by a restart.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { Config } from "../config/schema.ts";
import { diffAddresses, diffGuards, diffRules } from "../steering/diff.ts";
import { FIXED, fixedPart } from "./fixed.ts";

export interface Difference {
  /** The generation in force. */
  readonly generation: number;
  /** What comes into force at once, without a packet lost; in words. */
  readonly live: readonly string[];
  /** What only a restart puts in force: a reload would refuse all of it. `workers.count: 2 -> 4`. */
  readonly restart: readonly string[];
  readonly warnings: readonly string[];
}

/** @returns What would change live, in words. */
export function liveDifference(inForce: Config, next: Config): string[] {
  return [
    ...diffRules(inForce.steering, next.steering),
    ...diffAddresses(inForce.forwarding.addresses, next.forwarding.addresses),
    ...diffGuards(inForce, next),
  ];
}

/** @returns What needs a restart, a line for each key. */
export function fixedDifference(inForce: Config, next: Config): string[] {
  return FIXED.flatMap((key) => keysThatDiffer(key, fixedPart(inForce, key), fixedPart(next, key)));
}

/** `interfaces.eth0.umem.chunks: 4096 -> 8192`; things in a list are told apart by their names. */
function keysThatDiffer(path: string, before: unknown, after: unknown): string[] {
  if (isDeepStrictEqual(before, after)) return [];
  const [old, current] = [parts(before), parts(after)];
  if (old === undefined || current === undefined) return [`${path}: ${inWords(before)} -> ${inWords(after)}`];
  return [...new Set([...Object.keys(old), ...Object.keys(current)])].flatMap((key) => {
    if (!Object.hasOwn(current, key)) return [`- ${path}.${key}`];
    if (!Object.hasOwn(old, key)) return [`+ ${path}.${key}`];
    return keysThatDiffer(`${path}.${key}`, old[key], current[key]);
  });
}

/** Of an object its keys, of a list of named things their names; undefined for what is one thing. */
function parts(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value)) return value as Record<string, unknown>;
  const named = value.map((each: unknown) => (each as { readonly name?: unknown } | null)?.name);
  if (named.length === 0 || named.some((name) => typeof name !== "string")) return undefined;
  return Object.fromEntries(value.map((each: unknown, index) => [named[index] as string, each]));
}

function inWords(value: unknown): string {
  if (value === null || value === undefined) return "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
