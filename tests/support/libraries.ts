/**
 * Makes all functions ready of the libraries that stay open for the life of the process, before any test begins: Deno's
 * leak check would take the first test that uses one for its owner.
 */
import { libbpf, messagesOf } from "../../src/ffi/libbpf_library.ts";
import { libc } from "../../src/ffi/libc.ts";
import "./suppressed_errors.ts";

for (const functions of [libc().symbols, libbpf()]) {
  // deno-lint-ignore guard-for-in -- they are the prototype's until they are used
  for (const name in functions) functions[name as keyof typeof functions];
}
messagesOf(() => {}); // and what libbpf prints to
