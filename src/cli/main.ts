/**
 * The command line's outcome: exit codes, and how errors reach a person.
 *
 * @module
 */
import { CommanderError } from "commander";
import { EXIT, messageOf, SteerError } from "../errors.ts";
import { buildProgram } from "./commands.ts";
import { printError } from "./output.ts";

/** Runs the command in `args` and ends the process with its exit code. */
export async function main(args: string[], entry: URL): Promise<never> {
  Deno.exit(await exitCodeOf(args, entry));
}

async function exitCodeOf(args: string[], entry: URL): Promise<number> {
  try {
    await buildProgram(entry).parseAsync(args, { from: "user" });
    return Deno.exitCode; // other than 0 where a command ended as it should, and what it found is bad
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    printError(`xdpsteer: ${messageOf(error)}`);
    if (error instanceof SteerError) {
      if (error.hint !== undefined) printError(`  hint: ${error.hint}`);
      for (const note of error.notes) printError(`  ${note}`);
      return error.exitCode;
    }
    printError((error as Error).stack ?? "");
    return EXIT.failed;
  }
}
