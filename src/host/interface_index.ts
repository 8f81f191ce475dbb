/**
 * An interface by its name.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { interfaceIndex } from "../ffi/libc.ts";

/** The index of an interface. @throws {SteerError} with those there are, where there is none of this name. */
export function requireInterface(name: string): number {
  const ifindex = interfaceIndex(name);
  if (ifindex !== 0) return ifindex;
  throw new SteerError(`There is no interface "${name}" in this network namespace`, {
    hint: `the interfaces are: ${interfaceNames().join(", ")}`,
  });
}

/** Names of the interfaces in this network namespace. */
export function interfaceNames(): string[] {
  // Not sysfs, which may be another namespace's.
  return Deno.readTextFileSync("/proc/self/net/dev").split("\n").flatMap((line) => /^ *(\S+):/.exec(line)?.[1] ?? [])
    .sort();
}
