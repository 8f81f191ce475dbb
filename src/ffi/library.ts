/**
 * Shared libraries whose functions are made ready when they are first used: Deno takes 0.2 ms for each, and no thread
 * needs all of them.
 *
 * @module
 */
import { SteerError } from "../errors.ts";

/** A library's functions by name. */
export type Functions<Declared extends Deno.ForeignLibraryInterface> = Deno.DynamicLibrary<Declared>["symbols"];

/**
 * The functions of a library, which stays open for the life of the process. Whoever calls one often takes it out once.
 *
 * @param hint What to do where the library or one of its functions is missing.
 * @throws {SteerError} when a function is first used.
 */
export function openLibrary<Declared extends Deno.ForeignLibraryInterface>(
  path: string,
  declared: Declared,
  hint: string,
): Functions<Declared> {
  const prototype = {};
  for (const name of Object.keys(declared)) {
    Object.defineProperty(prototype, name, {
      enumerable: true,
      get(this: object): unknown {
        const value = load(path, name, declared[name]!, hint);
        Object.defineProperty(this, name, { value, enumerable: true }); // the next use finds this one first
        return value;
      },
    });
  }
  return Object.create(prototype);
}

function load(
  path: string,
  name: string,
  declared: Deno.ForeignFunction | Deno.ForeignStatic,
  hint: string,
): unknown {
  try {
    return Deno.dlopen(path, { [name]: declared }).symbols[name];
  } catch (cause) {
    throw new SteerError(`Cannot load ${path}`, { cause, hint });
  }
}
