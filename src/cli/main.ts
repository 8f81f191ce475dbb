/**
 * The command line's outcome: exit codes, and how errors reach a person.
 *
 * @module
 */
import { EXIT, messageOf, SteerError } from "../errors.ts";
import { finishErrors } from "../stderr.ts";
import { OutputError, printError } from "./output.ts";

/** Runs the command in `args` and ends the process with its exit code. */
export async function main(args: string[], entry: URL): Promise<never> {
  const code = await exitCodeOf(args, entry);
  finishErrors();
  Deno.exit(code);
}

async function exitCodeOf(args: string[], entry: URL): Promise<number> {
  try {
    const options = plainRun(args);
    if (options === undefined) return await parsed(args, entry);
    await (await import("./run.ts")).run({ ...options, entry });
    return EXIT.ok;
  } catch (error) {
    return report(error);
  }
}

/** Tells a person about an error. @returns the exit code it stands for. */
function report(error: unknown): number {
  if (error instanceof OutputError && error.silent) return EXIT.ok;
  const known = error instanceof SteerError ? error : fromMachine(error);
  printError(`xdpsteer: ${messageOf(known ?? error)}`);
  if (known === undefined) {
    printError(
      `  hint: this is a fault of xdpsteer; please report it with these lines\n${(error as Error).stack ?? ""}`,
    );
    return EXIT.failed;
  }
  if (known.hint !== undefined) printError(`  hint: ${known.hint}`);
  for (const note of known.notes) printError(`  ${note}`);
  return known.exitCode;
}

/**
 * What of the errors of Deno itself is the machine's state: its memory, its files, its limits. Undefined for a fault of
 * ours.
 */
function fromMachine(error: unknown): SteerError | undefined {
  if (error instanceof RangeError && /allocation failed/i.test(error.message)) {
    return new SteerError("Not enough memory", {
      cause: error,
      hint: "free some memory, or use fewer workers, queues, sessions or rules",
    });
  }
  // Deno's classes and Node's codes: both stand for an errno.
  const isSystem = Object.values(Deno.errors).some((kind) => error instanceof kind) ||
    /^E[A-Z0-9]+$/.test(`${(error as { code?: unknown } | null)?.code}`);
  return isSystem ? new SteerError(messageOf(error), { cause: error }) : undefined;
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
 * The options of `run` as a service starts it: each a word of its own, its value the next one. The first packet is not
 * to wait for the parser of command lines and all that it loads, which takes longer than to read the configuration.
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
