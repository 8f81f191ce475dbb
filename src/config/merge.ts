/**
 * Merge keys of YAML: `<<: *defaults` brings the keys of another map into this one. A key of the map itself goes before
 * a merged one, and of several sources the first that has the key.
 *
 * @module
 */
import { isMap, isScalar, isSeq, type Node, type Pair } from "yaml";
import { EXTENSION_PREFIX } from "./wording.ts";

export const MERGE_KEY = "<<";

/**
 * Keys that may be brought in by all merge keys together: a map can be merged into a map that is merged, each time
 * twice.
 */
export const MAX_MERGED_KEYS = 1_000_000;

/** More than {@linkcode MAX_MERGED_KEYS}. */
export class TooMuchMerged extends Error {}

/** What a merge key may have for a value, in words. */
export const MERGE_SOURCES = "a map, an alias of one, or a list of these";

export function isMergeKey({ key }: Pair): boolean {
  return isScalar(key) && key.value === MERGE_KEY;
}

/**
 * The maps that a merge key names, aliases as they stand there; undefined where something else is among them.
 *
 * @param resolve The node an alias stands for.
 */
export function mergeSources(value: unknown, resolve: (node: unknown) => unknown): Node[] | undefined {
  const resolved = resolve(value);
  const sources = isSeq(resolved) ? resolved.items : [value];
  return sources.every((source) => isMap(resolve(source))) ? sources as Node[] : undefined;
}

/** The same values with what is merged in its place. Values that aliases share stay shared. @throws {TooMuchMerged} */
export function mergeAll(value: unknown): unknown {
  const done = new Map<object, unknown>();
  let merged = 0;
  const copyInto = (target: object, key: string, value: unknown): void => {
    // Not by assignment: a key may be __proto__.
    Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  };
  const expand = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const known = done.get(value);
    if (known !== undefined) return known;
    if (Array.isArray(value)) {
      const list: unknown[] = [];
      done.set(value, list);
      for (const item of value) list.push(expand(item));
      return list;
    }
    const map = {};
    done.set(value, map);
    for (const [key, item] of Object.entries(value)) if (key !== MERGE_KEY) copyInto(map, key, expand(item));
    if (!Object.hasOwn(value, MERGE_KEY)) return map;
    for (const source of [(value as Record<string, unknown>)[MERGE_KEY]].flat()) {
      for (const [key, item] of Object.entries(expand(source) ?? {})) {
        if (++merged > MAX_MERGED_KEYS) throw new TooMuchMerged();
        if (!Object.hasOwn(map, key)) copyInto(map, key, item);
      }
    }
    return map;
  };
  return expand(value);
}

/** Without the `x-` keys at the top. */
export function withoutExtensions(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const keys = Object.keys(value).filter((key) => key.startsWith(EXTENSION_PREFIX));
  for (const key of keys) delete (value as Record<string, unknown>)[key];
  return value;
}
