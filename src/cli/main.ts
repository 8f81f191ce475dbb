/**
 * The command line's outcome: exit codes, and how errors reach a person.
 *
 * @module
 */
import { EXIT, messageOf, SteerError } from "../errors.ts";
import { printError } from "./output.ts";

/** Runs the command in `args` and ends the process with its exit code. */
export async function main(args: string[], entry: URL): Promise<never> {
  Deno.exit(await exitCodeOf(args, entry));
}

async function exitCodeOf(args: string[], entry: URL): Promise<number> {
  try {
    const options = plainRun(args);
    if (options === undefined) return await parsed(args, entry);
    await (await import("./run.ts")).run({ ...options, entry });
    return EXIT.ok;
  } catch (error) {
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

async function parsed(args: string[], entry: URL): Promise<number> {
  const [{ CommanderError }, { buildProgram }] = await Promise.all([import("commander"), import("./commands.ts")]);
  try {
    await buildProgram(entry).parseAsync(args, { from: "user" });
    return Deno.exitCode; // other than 0 where a command ended as it should, and what it found is bad
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    throw error;
  }
}

/**
 * The options of `run` as a service starts it: each a word of its own, its value the next one. The first packet is not to wait for the
 * parser of command lines and all that it loads, which takes longer than to read the configuration.
 *
 * @returns Undefined for everything else, which the parser has to look at.
 */
export function plainRun(
  args: readonly string[],
): { readonly config: string; readonly bpfObject?: string } | undefined {
  if (args[0] !== "run" || args.length % 2 === 0) return undefined;
  const options: { config?: string; bpfObject?: string } = {};
  for (let at = 1; at < args.length; at += 2) {
    const value = args[at + 1]!;
    if (value.startsWith("-")) return undefined;
    if (args[at] === "--config" || args[at] === "-c") options.config = value;
    else if (args[at] === "--bpf-object") options.bpfObject = value;
    else return undefined;
  }
  const { config } = options;
  return config === undefined ? undefined : { ...options, config };
}
