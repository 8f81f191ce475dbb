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
    hint: hintOf(),
  });
}

function hintOf(): string {
  try {
    const names = [...Deno.readDirSync("/sys/class/net")].map((entry) => entry.name).sort();
    return `the interfaces are: ${names.join(", ")}`;
  } catch {
    return "ip link lists the interfaces there are";
  }
}
