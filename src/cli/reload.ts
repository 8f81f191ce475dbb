/**
 * `xdpsteer reload`: a running xdpsteer reads its configuration file again.
 *
 * @module
 */
import { EXIT, SteerError } from "../errors.ts";
import { callJson, Refused } from "./client.ts";
import { print, printJson } from "./output.ts";

/** @throws {SteerError} with exit code 3 and everything that is wrong with the file when it is refused. */
export async function reload({ socket, json = false }: { socket: string; json?: boolean }): Promise<void> {
  let change: Change;
  try {
    change = await callJson<Change>(socket, "POST", "/v1/reload");
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 422) throw error;
    const { message, hint = "nothing was changed; fix the file and reload again" } = error;
    throw new SteerError(message, { hint, exitCode: EXIT.configInvalid });
  }
  printChange(change, json);
}

/** What a change of the rules answers. */
export interface Change {
  readonly generation: number;
  readonly changes: readonly string[];
  readonly elapsedMs: number;
  /** Of changes that can be saved. */
  readonly saved?: boolean;
}

/** Shows what a change did: as JSON what was answered. */
export function printChange(change: Change, json: boolean): void {
  if (json) return printJson(change);
  const { generation, changes, elapsedMs, saved } = change;
  for (const line of changes) print(line);
  const file = saved === true ? "; the configuration file says the same" : "";
  if (changes.length === 0) print(`nothing to change: generation ${generation} stays in force${file}`);
  else print(`generation ${generation} is in force after ${elapsedMs.toFixed(1)} ms${file}`);
  if (saved === false && changes.length > 0) print("not saved: it lasts until the next reload (--save keeps it)");
}
