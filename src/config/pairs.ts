/**
 * What a map of a parsed document has by key.
 *
 * @module
 */
import { isMap, isScalar, type Pair, type YAMLMap } from "yaml";

export function pairOf(node: YAMLMap, key: string): Pair | undefined {
  return node.items.find((pair) => keyOf(pair) === key);
}

/** Undefined for a key that is no scalar. */
export function keyOf({ key }: Pair): string | undefined {
  return isScalar(key) ? String(key.value) : undefined;
}

/** Undefined also where there is no map. */
export function valueOf(node: unknown, key: string): unknown {
  return isMap(node) ? pairOf(node, key)?.value : undefined;
}
