/**
 * The commands: what there is, its options and its help. The manual page and the shell completions are made from it.
 *
 * @module
 */
import { Argument, Command, Option } from "commander";
import { KERNEL_WORDS, PLAIN_ACTIONS } from "../steering/action.ts";
import { VERSION } from "../version.ts";
import type { add as addBan, list as listBans, remove as removeBan } from "./ban.ts";
import type { CheckOptions } from "./check.ts";
import type { doctor } from "./doctor.ts";
import type { Shell } from "./completions.ts";
import type { detach } from "./detach.ts";
import { print, printError, printJson, write } from "./output.ts";
import type { list, set, unset } from "./ports.ts";
import type { confirm, reload } from "./reload.ts";
import { packaging, readLicenses } from "./self.ts";
import type { sources } from "./sources.ts";
import type { act, list as listBackends } from "./backends.ts";
import type { status } from "./status.ts";
import type { top } from "./top.ts";
import type { traffic } from "./traffic.ts";
import type { upgrade } from "./upgrade.ts";

const DEFAULT_CONFIG = "/etc/xdpsteer/steering.yaml";
const SAVE = "also make the change in the configuration file, and leave the rest of the file as it is";
const CONFIRM = "take it back after this time (60s, 5m) unless xdpsteer confirm comes; --save waits for that too";
const SHELLS: readonly Shell[] = ["bash", "zsh", "fish"];
const DEFAULT_SOCKET = "/run/xdpsteer/control.sock";
/** Environment variable with the control socket to use without --socket. */
const SOCKET_VARIABLE = "XDPSTEER_SOCKET";

function socketOption(description: string): Option {
  return new Option("-s, --socket <path>", description).env(SOCKET_VARIABLE).default(DEFAULT_SOCKET);
}

/** Each command brings its code when it is called: starting is not to wait for that of the others. */
export function buildProgram(entry: URL): Command {
  if (Deno.env.get(SOCKET_VARIABLE) === "") Deno.env.delete(SOCKET_VARIABLE); // empty counts as unset
  const program = new Command("xdpsteer")
    .description("Steers UDP packets by destination port to AF_XDP workers, live.")
    .showHelpAfterError("(xdpsteer --help lists the commands)")
    .version(versionText(), "-V, --version", "print the version")
    .exitOverride()
    .configureOutput({ writeOut: (text) => print(text.trimEnd()), writeErr: (text) => printError(text.trimEnd()) });

  program.command("run")
    .description("steer packets as the configuration says until SIGTERM; SIGHUP, or saving the file, applies changes")
    .option("-c, --config <file>", "configuration", DEFAULT_CONFIG)
    .option("--bpf-object <file>", "use this compiled BPF object instead of the embedded one")
    .option("--strict", "do not start with the last good configuration if the file is refused; exit with 3")
    .option(
      "--user <name>",
      "as root: become this user of /etc/passwd first, and keep only what steering needs of root",
    )
    .action(async (options: { config: string; bpfObject?: string; user?: string; strict?: boolean }) =>
      await (await import("./run.ts")).run({ ...options, entry })
    );

  program.command("check")
    .description("check a configuration and show its rules; changes nothing")
    .argument("[file]", `configuration file, or - for standard input (default: "${DEFAULT_CONFIG}")`)
    .option("-c, --config <file>", "the same")
    .option(
      "--probe",
      "also run every health check and fetch every page of lists once, from here; exits with 1 if one fails",
    )
    .option("--against-running", "show instead what it would change of what is in force, and how")
    .addOption(socketOption("with --against-running, the control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (file: string | undefined, options: CheckOptions) =>
      await (await import("./check.ts")).check(file, options, DEFAULT_CONFIG)
    );

  program.command("status")
    .description("show the problems and the state of the running xdpsteer")
    .addOption(socketOption("its control socket"))
    .option("--check", "print one line and the problems; exits with 1 if there are any, or if it does not answer")
    .option("--json", "print everything as JSON; with --check, the problems")
    .action(async (...words: Parameters<typeof status>) => await (await import("./status.ts")).status(...words));

  program.command("top")
    .description(
      "watch rules, workers and queues live: rates, drops, load; if the output is not a terminal, as plain tables",
    )
    .addOption(socketOption("its control socket"))
    .option("--interval <seconds>", "time between updates, 0.2 to 60", "1")
    .option("--json", "print one line of JSON per interval")
    .option("--once", "print one interval and exit")
    .action(async (...words: Parameters<typeof top>) => await (await import("./top.ts")).top(...words));

  program.command("sources")
    .description(
      "show which sources send most to the rules, with packets and bytes per second and the command that bans them; " +
        "live on a terminal, until q",
    )
    .option("--rule <name>", "only those that send to this rule")
    .option("--count <number>", "how many, 1 to 1000", "20")
    .option("--json", "print one second as JSON and exit")
    .option("--once", "print one second and exit")
    .addOption(socketOption("control socket of the running xdpsteer"))
    .action(async (...words: Parameters<typeof sources>) => await (await import("./sources.ts")).sources(...words));

  const ports = program.command("ports").description(
    "show and change which port goes to which worker, under live traffic",
  );
  ports.command("list")
    .description("show all steered ports")
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof list>) => await (await import("./ports.ts")).list(...words));
  ports.command("set")
    .description("steer ports to a worker; changes the rule that has exactly these ports, or makes a rule for them")
    .argument("<ports>", "a port, a range or several: 7777,27015-27030")
    .option(
      "-w, --worker <id>",
      `a worker id, or hash to spread packets by flow; required except for --to, and --action ${KERNEL_WORDS}`,
    )
    .addOption(
      new Option("-a, --action <action>", "what happens to the packets; default: unchanged, or count for new ports")
        .choices(PLAIN_ACTIONS),
    )
    .option(
      "--to <backends>",
      "forward the packets to these backends, with commas; what else the ports' action says stays as it is",
    )
    .option(
      "--address <addresses>",
      "own, any, or addresses and prefixes with commas; default: unchanged, or own for new ports",
    )
    .option("--rule <name>", "add the ports to this rule, or to a new rule of this name")
    .option("--save", SAVE)
    .option("--confirm <time>", CONFIRM)
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof set>) => await (await import("./ports.ts")).set(...words));
  ports.command("unset")
    .description("stop steering ports: they go to the kernel stack; a rule without ports is removed")
    .argument("<ports>", "a port, a range or several: 7777,27015-27030")
    .option("--save", SAVE)
    .option("--confirm <time>", CONFIRM)
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof unset>) => await (await import("./ports.ts")).unset(...words));

  const ban = program.command("ban").description("drop the packets of sources, from all rules or from one, at once");
  ban.command("add")
    .description("ban an address or a prefix, or change its ban")
    .argument("<prefix>", "an address or a prefix: 203.0.113.7, 2001:db8:7::/48")
    .option("--for <time>", "how long: seconds, or a time like 90s, 10m, 12h or 7d; default: until it is removed")
    .option("--rule <name>", "from this rule only; default: from all rules")
    .option("--reason <text>", "why, for the list")
    .option("--force", "also where the prefix is wider than /8 (IPv4) or /32 (IPv6)")
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof addBan>) => await (await import("./ban.ts")).add(...words));
  ban.command("list")
    .description("show all bans, with the packets that each has dropped")
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof listBans>) => await (await import("./ban.ts")).list(...words));
  ban.command("remove")
    .description("lift a ban")
    .argument("<prefix>", "the address or prefix, as ban list shows it")
    .option("--rule <name>", "the ban from this rule; default: the one from all rules")
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof removeBan>) => await (await import("./ban.ts")).remove(...words));
  const backends = program.command("backends").description(
    "show backends, and take them out of use and back, under live traffic",
  );
  backends.command("list")
    .description("show all backends: sessions, packets a second, answers, health and why")
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof listBackends>) => await (await import("./backends.ts")).list(...words));
  for (
    const [action, description] of [
      ["drain", "no new sessions for a backend; those it has end by themselves"],
      ["undrain", "new sessions for a backend again"],
      ["move", "no new sessions for a backend, and those it has go to others with their next packets"],
    ] as const
  ) {
    const command = backends.command(action).description(description)
      .argument("<backend>", "address and port as the configuration has them: 10.0.0.11:9000")
      .option("--save", SAVE)
      .addOption(socketOption("control socket of the running xdpsteer"))
      .option("--json", "print JSON")
      .action(async (name: string, options: Parameters<typeof act>[2]) =>
        await (await import("./backends.ts")).act(action, name, options)
      );
    if (action === "move") command.option("--to <backend>", "all of them to this one; default: as new sessions would");
  }

  program.command("reload")
    .description("apply the configuration file, as saving it or SIGHUP does, and show what changed")
    .argument("[file]", "put this file in force instead, until the configuration file is saved or reloaded")
    .option("--confirm <time>", "take it back after this time (60s, 5m) unless xdpsteer confirm comes")
    .option("--dry-run", "change nothing, and show what would change and how; exits with 1 if it needs a restart")
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof reload>) => await (await import("./reload.ts")).reload(...words));

  program.command("confirm")
    .description("keep a change that is taken back otherwise, and save it if that was asked for")
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof confirm>) => await (await import("./reload.ts")).confirm(...words));

  program.command("upgrade")
    .description("have the program file that is on disk take over from the running xdpsteer, without a packet lost")
    .option("--within <time>", "the running one goes on if the new one is not healthy by then", "5s")
    .addOption(socketOption("control socket of the running xdpsteer"))
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof upgrade>) => await (await import("./upgrade.ts")).upgrade(...words));

  program.command("detach")
    .description(
      "detach the XDP program from an interface, with or without a running xdpsteer; a program that a process holds " +
        "needs --stop or --force",
    )
    .requiredOption("-i, --interface <name>", "the interface (required)")
    .option("--stop", "stop the process that holds the program (SIGTERM), and wait until it has detached")
    .option(
      "--force",
      "detach at once; a running xdpsteer attaches it again within a second, so end that first, or use --stop",
    )
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof detach>) => await (await import("./detach.ts")).detach(...words));

  program.command("doctor")
    .description(
      "check whether this machine can steer packets, and how well, and suggest fixes; exits with 1 if there is a " +
        "problem",
    )
    .option("-i, --interface <name>", "check this interface; default: those of the configuration, or all that are up")
    .option("-c, --config <file>", "check the interfaces of this configuration, with their settings")
    .option(
      "--no-probe",
      "do not try native XDP and zero-copy on the interfaces that these options name; trying them briefly attaches a " +
        "program that passes all packets, and binds a socket, for which some drivers reset their rings",
    )
    .option("--json", "print JSON")
    .action(async (...words: Parameters<typeof doctor>) => await (await import("./doctor.ts")).doctor(...words));

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

  program.command("completions")
    .description("print a completion script for a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .addHelpText(
      "after",
      "\nbash: xdpsteer completions bash >/etc/bash_completion.d/xdpsteer\n" +
        "zsh:  xdpsteer completions zsh >/usr/local/share/zsh/site-functions/_xdpsteer\n" +
        "fish: xdpsteer completions fish >/etc/fish/completions/xdpsteer.fish",
    )
    .action(async (shell: Shell) => write(`${(await import("./completions.ts")).completions(program, shell)}\n`));

  program.command("man", { hidden: true })
    .description("print the manual page")
    .action(async () => write(`${(await import("./manual.ts")).manual(program)}\n`));

  program.command("version")
    .description("print the version")
    .option("--json", "print JSON")
    .option("--licenses", "print the licences of everything in this file")
    .option("--security", "print what run, started here by this user, may do: capabilities, system calls, writing")
    .action(async ({ json, licenses, security }: { json?: boolean; licenses?: boolean; security?: boolean }) => {
      const { deno, v8 } = Deno.version;
      if (security) (await import("./security.ts")).security(json ?? false);
      else if (licenses) write(`${readLicenses(entry)}\n`);
      else if (json) printJson({ version: VERSION, packaging: packaging(), deno, v8 });
      else print(versionText());
    });

  // Subcommands made by command() do not inherit what was configured above after they were made.
  inherit(program);
  return program;
}

function versionText(): string {
  return `xdpsteer ${VERSION} (${packaging()}, deno ${Deno.version.deno})`;
}

function inherit(parent: Command): void {
  for (const command of parent.commands) {
    command.exitOverride().copyInheritedSettings(parent);
    inherit(command);
  }
}
