/**
 * The C programs of tests/support/c: many clients, and backends, as fast as the kernel's own sockets are.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FLAGS = ["-O2", "-Wall", "-Wextra", "-Werror"];
const built = new Map<string, Promise<string>>();

/** Compiles a program if its source is newer. @returns where it is. */
export function cProgram(name: string): Promise<string> {
  const known = built.get(name) ?? build(name);
  built.set(name, known);
  return known;
}

async function build(name: string): Promise<string> {
  const source = `${ROOT}tests/support/c/${name}.c`;
  const program = `${ROOT}build/tests/${name}`;
  await Deno.mkdir(`${ROOT}build/tests`, { recursive: true });
  const [{ mtime: changed }, present] = await Promise.all([Deno.stat(source), Deno.stat(program).catch(() => null)]);
  const isAlone = !/^#include "\.\./m.test(await Deno.readTextFile(source)); // else its parts may be newer
  if (isAlone && present !== null && present.mtime! > changed!) return program;
  const made = `${program}.${Deno.pid}`; // two test files may build it at the same time
  const { success, stderr } = await new Deno.Command("gcc", { args: [...FLAGS, "-o", made, source] }).output();
  if (!success) throw new Error(`gcc ${name}.c: ${new TextDecoder().decode(stderr)}`);
  await Deno.rename(made, program);
  return program;
}
