/**
 * The command line: what there is, and how errors reach a person.
 *
 * @module
 */
import { Command, CommanderError } from "commander";
import { EXIT, messageOf, SteerError } from "../errors.ts";
import { VERSION } from "../version.ts";
import type { check } from "./check.ts";
import { print, printError } from "./output.ts";
import { packaging, readLicenses } from "./self.ts";
import type { status } from "./status.ts";
import type { traffic } from "./traffic.ts";

const DEFAULT_CONFIG = "/etc/xdpsteer/steering.yaml";
const DEFAULT_SOCKET = "/run/xdpsteer/control.sock";

/** Each command brings its code when it is called: starting is not to wait for that of the others. */
function buildProgram(entry: URL): Command {
  const program = new Command("xdpsteer")
    .description("Steers UDP packets by destination port to AF_XDP workers, live.")
    .showHelpAfterError("(xdpsteer --help shows what there is)")
    .exitOverride()
    .configureOutput({ writeOut: (text) => print(text.trimEnd()), writeErr: (text) => printError(text.trimEnd()) });

  program.command("run")
    .description("steer packets as the configuration says, until SIGTERM; SIGHUP or a save of the file applies changes")
    .option("-c, --config <file>", "configuration", DEFAULT_CONFIG)
    .option("--bpf-object <file>", "use this compiled BPF object instead of the embedded one")
    .action(async (options: { config: string; bpfObject?: string }) =>
      await (await import("./run.ts")).run({ ...options, entry })
    );

  program.command("check")
    .description("check a configuration and show what it means; changes nothing")
    .option("-c, --config <file>", "configuration", DEFAULT_CONFIG)
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof check>) => await (await import("./check.ts")).check(...words));

  program.command("status")
    .description("show what a running xdpsteer does")
    .option("-s, --socket <path>", "its control socket", DEFAULT_SOCKET)
    .option("--json", "print JSON: everything that is known")
    .action(async (...words: Parameters<typeof status>) => await (await import("./status.ts")).status(...words));

  program.command("demo")
    .description(
      "show the whole product in 15 seconds: namespaces, traffic, a live remap; needs root, leaves nothing behind",
    )
    .option("--json", "print the summary as JSON")
    .action(async (options: { json?: boolean }) => await (await import("./demo.ts")).demo({ ...options, entry }));

  program.command("traffic", { hidden: true })
    .description("send UDP; the demo's sender")
    .requiredOption("--json <order>", "what to send")
    .action(async (...words: Parameters<typeof traffic>) => await (await import("./traffic.ts")).traffic(...words));

  program.command("version")
    .description("print the version")
    .option("--json", "print JSON")
    .option("--licenses", "print the licences of everything in this program")
    .action(({ json, licenses }: { json?: boolean; licenses?: boolean }) => {
      const { deno, v8 } = Deno.version;
      if (licenses) print(readLicenses(entry));
      else if (json) print(JSON.stringify({ version: VERSION, packaging: packaging(), deno, v8 }));
      else print(`xdpsteer ${VERSION} (${packaging()}, deno ${deno})`);
    });

  // Subcommands made by command() do not inherit what was configured above after they were made.
  for (const command of program.commands) command.exitOverride().copyInheritedSettings(program);
  return program;
}

/** Runs the command in `args` and ends the process with its exit code. */
export async function main(args: string[], entry: URL): Promise<never> {
  Deno.exit(await exitCodeOf(args, entry));
}

async function exitCodeOf(args: string[], entry: URL): Promise<number> {
  try {
    await buildProgram(entry).parseAsync(args, { from: "user" });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    printError(`xdpsteer: ${messageOf(error)}`);
    if (error instanceof SteerError) {
      if (error.hint !== undefined) printError(`  hint: ${error.hint}`);
      return error.exitCode;
    }
    printError((error as Error).stack ?? "");
    return EXIT.failed;
  }
}
