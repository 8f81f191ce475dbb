/**
 * Opens the libraries that stay open for the life of the process, before any test begins: Deno's leak check would take the
 * first test that uses one for its owner.
 */
import { possibleCpus } from "../../src/ffi/libbpf.ts";
import { interfaceIndex } from "../../src/ffi/libc.ts";

interfaceIndex("lo");
possibleCpus();
