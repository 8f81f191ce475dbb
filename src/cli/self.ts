/**
 * How this program is started once more, as another process.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** The words before the arguments: the compiled file alone, or deno and the entry module. */
export function selfCommand(entry: URL): string[] {
  return Deno.build.standalone ? [Deno.execPath()] : [Deno.execPath(), "run", "--quiet", "-A", fileURLToPath(entry)];
}
