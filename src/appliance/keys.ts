/**
 * Which keys of two configurations differ, and how, in words.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";

export interface KeyDifference {
  /** The key that differs, or of a list of named things the list, where one is there that was not, or the other way. */
  readonly keys: readonly string[];
  /** `interfaces.eth0.umem.chunks: 4096 -> 8192` */
  readonly words: string;
}

/** @param path Of what is compared. Things in a list are told apart by their names. */
export function keysThatDiffer(path: readonly string[], before: unknown, after: unknown): KeyDifference[] {
  if (isDeepStrictEqual(before, after)) return [];
  const name = path.join(".");
  const [old, current] = [partsOf(before), partsOf(after)];
  if (old === undefined || current === undefined) {
    return [{ keys: path, words: `${name}: ${inWords(before)} -> ${inWords(after)}` }];
  }
  const list = Array.isArray(before);
  const found = [...new Set([...Object.keys(old), ...Object.keys(current)])].flatMap((key): KeyDifference[] => {
    const keys = list ? path : [...path, key];
    if (!Object.hasOwn(current, key)) return [{ keys, words: `- ${name}.${key}` }];
    if (!Object.hasOwn(old, key)) return [{ keys, words: `+ ${name}.${key}` }];
    return keysThatDiffer([...path, key], old[key], current[key]);
  });
  return found.length > 0 ? found : [{ keys: path, words: `~ the order of ${name}` }];
}

/** Of an object its keys, of a list of named things their names; undefined for what is one thing. */
function partsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
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
