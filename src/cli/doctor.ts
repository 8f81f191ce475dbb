/**
 * `xdpsteer doctor`: says whether this machine can steer packets, how well, and what fixes it.
 *
 * @module
 */
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { examine, explain, type Finding, interfacesThatAreUp, withDefaults } from "../doctor/doctor.ts";
import { EXIT, SteerError, SyscallError } from "../errors.ts";
import { escapeControls, plural } from "../text.ts";
import { print, printJson, write } from "./output.ts";

export interface DoctorOptions {
  /** Looks at this interface only. */
  readonly interface?: string;
  /** Takes interfaces and their settings from this configuration. */
  readonly config?: string;
  /** Whether to try what the drivers of interfaces that were named can do. */
  readonly probe: boolean;
  readonly json?: boolean;
}

const COLOURS: Readonly<Record<Finding["status"], number>> = { ok: 32, warning: 33, problem: 31 };
const STATUS_COLUMNS = 9;

/** Ends with 1 where there is a problem. @throws {ConfigError} with all that is wrong with the configuration. */
export async function doctor(options: DoctorOptions): Promise<void> {
  const config = options.config === undefined ? undefined : await readConfig(options.config);
  const findings = await examine({
    interfaces: interfacesFor(options.interface, config),
    workers: config?.workers,
    rules: config,
    lists: config?.lists,
    probe: options.probe && (options.interface !== undefined || config !== undefined),
  });
  const counts = { problem: 0, warning: 0, ok: 0 };
  for (const { status } of findings) counts[status]++;
  if (options.json) {
    printJson({ findings, ok: counts.problem === 0 });
  } else {
    const colour = Deno.stdout.isTerminal() && !Deno.noColor;
    for (const finding of findings) write(`${findingLines(finding, colour).join("\n")}\n`);
    print(`${plural(counts.problem, "problem")}, ${plural(counts.warning, "warning")}, ${counts.ok} ok`);
  }
  if (counts.problem > 0) Deno.exitCode = EXIT.failed;
}

/** The doctor's lines on why an error happened that came from a system call; none for any other. */
export function diagnosis(error: unknown, config: Config): string[] {
  const cause = error instanceof SteerError && error.cause instanceof SyscallError ? error.cause : error;
  if (!(cause instanceof SyscallError)) return [];
  return explain(cause.code, config).flatMap((finding) => findingLines(finding, false));
}

async function readConfig(file: string): Promise<Config> {
  return (await loadConfig(file, { cpuCount: navigator.hardwareConcurrency })).config;
}

function interfacesFor(name: string | undefined, config: Config | undefined): Config["interfaces"] {
  if (name === undefined) return config?.interfaces ?? interfacesThatAreUp().map(withDefaults);
  return [config?.interfaces.find((known) => known.name === name) ?? withDefaults(name)];
}

function findingLines({ status, text, fix, ...finding }: Finding, colour: boolean): string[] {
  const word = colour ? `\x1b[${COLOURS[status]}m${status}\x1b[0m` : status;
  const padding = " ".repeat(STATUS_COLUMNS - status.length);
  const where = finding.interface === undefined ? "" : `${finding.interface}: `;
  const line = `${word}${padding}${escapeControls(`${where}${text}`)}`;
  return fix === undefined ? [line] : [line, `${" ".repeat(STATUS_COLUMNS)}fix: ${escapeControls(fix)}`];
}
