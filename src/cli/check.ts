/**
 * `xdpsteer check`: says whether a configuration is good, and what it means.
 *
 * @module
 */
import { lostBackends } from "../backends/configured_ways.ts";
import { readFirstConfig, readStandardInput } from "../config/load.ts";
import { parseFile, writeConfig } from "../config/parse.ts";
import type { Config } from "../config/schema.ts";
import { configWarnings, type Obstacle, placedProblems } from "../config/warnings.ts";
import { interfaceObstacles } from "../host/found_interfaces.ts";
import { ConfigError, EXIT, formatProblem, SteerError } from "../errors.ts";
import { fetchListPages, type FileFinding, lookAtListFiles, type PageResult } from "../guard/list_check.ts";
import { textOf } from "../steering/addresses.ts";
import { formatPorts } from "../steering/rule.ts";
import { plural, roundMs } from "../text.ts";
import { wayFix } from "../observe/problems/find_forwarding.ts";
import { differenceFrom, printDifference } from "./reload.ts";
import { print, printError, printJson, table } from "./output.ts";

export interface CheckOptions {
  readonly config?: string;
  readonly json?: boolean;
  /** Runs each health check once. */
  readonly probe?: boolean;
  /** Shows what it would change of what is in force. */
  readonly againstRunning?: boolean;
  readonly socket?: string;
}

/** As the name of a file: standard input. */
const STANDARD_INPUT = "-";

/**
 * @param given The file, before any of the options.
 * @param fallback The file where none is named.
 * @throws {ConfigError} with every problem found.
 */
export async function check(
  given: string | undefined,
  { config: option, json = false, probe = false, againstRunning = false, socket = "" }: CheckOptions,
  fallback: string,
): Promise<void> {
  if (given !== undefined && option !== undefined) {
    throw new SteerError(`Two configurations are named, "${given}" and "${option}": expected one`, {
      exitCode: EXIT.usage,
      hint: "xdpsteer check --help shows how to name one",
    });
  }
  const path = given ?? option ?? fallback;
  const content = path === STANDARD_INPUT ? readStandardInput() : readFirstConfig(path);
  const file = path === STANDARD_INPUT ? "standard input" : path;
  const parsed = parseFile(content, { file, cpuCount: navigator.hardwareConcurrency });
  if (againstRunning) return printDifference(await differenceFrom(socket, content), json);
  const { config } = parsed;
  const obstacles = interfaceObstacles(config.interfaces);
  // On another machine, where it has no interfaces, the ways to backends say nothing.
  const losses = obstacles.length > 0 ? [] : lossesOf(config);
  const files = await lookAtListFiles(config.lists);
  const refused = fileObstacles(files, "refused");
  if (refused.length > 0) throw new ConfigError(file, placedProblems(parsed, refused));
  const odd = fileObstacles(files, "odd");
  for (const warning of configWarnings(parsed, obstacles, [...losses, ...odd])) {
    printError(`warning: ${formatProblem(file, warning)}`);
  }
  if (json && !probe) return print(writeConfig(config));
  if (json) return await showProbes(config, true);
  const { interfaces, workers, steering } = config;
  const counts = [
    plural(interfaces.length, "interface"),
    plural(workers.count, "worker"),
    plural(steering.length, "rule"),
  ];
  print(`${file} is valid: ${counts.join(", ")}`);
  if (steering.length > 0) printRules(steering);
  if (probe) return await showProbes(config, false);
  const pages = config.lists.filter(({ url }) => url !== null).map(({ name }) => name);
  if (pages.length === 0) return;
  print(`\npages of lists were not fetched, which --probe does: ${pages.join(", ")}`);
}

function fileObstacles(files: readonly FileFinding[], wanted: FileFinding["status"]): Obstacle[] {
  return files.filter(({ status }) => status === wanted).map(({ index, text }) => ({
    path: ["lists", index, "file"],
    message: `file ${text}`,
  }));
}

function printRules(steering: Config["steering"]): void {
  const allOwn = steering.every(({ addresses }) => addresses === "own");
  const rows = steering.map(({ name, ports, addresses, worker, action }) => [
    name,
    formatPorts(ports),
    ...allOwn ? [] : [textOf(addresses)],
    action.kind === "drop" ? "-" : `${worker}`,
    action.kind,
  ]);
  print(table(["RULE", "PORTS", ...allOwn ? [] : ["ADDRESSES"], "WORKER", "ACTION"], rows));
}

/** Runs every health check of a configuration and fetches every page of its lists once. Ends with 1 where one fails. */
async function showProbes({ lists, steering, forwarding }: Config, json: boolean): Promise<void> {
  const [{ checksOf }, { probeOnce }, { lookUpOnce }] = await Promise.all([
    import("../backends/health/backend_checks.ts"),
    import("../backends/health/probe_once.ts"),
    import("../backends/names/once.ts"),
  ]);
  const fetched = fetchListPages(lists);
  const { rules, names } = await lookUpOnce(steering, forwarding.nameServers);
  const [probed, pages] = await Promise.all([probeOnce(checksOf(rules)), fetched]);
  const failed = [...probed, ...pages].some(({ succeeded }) => !succeeded) || names.some(({ error }) => error !== null);
  if (failed) Deno.exitCode = EXIT.failed;
  const found = probed.map(({ check: { backend, check }, succeeded, hindered, reason, elapsedMs }) => ({
    ...{ backend: backend.name, check: check.check, succeeded, hindered, reason, elapsedMs: roundMs(elapsedMs) },
  }));
  if (json) {
    const asked = names.map(({ name, backends, error }) => ({ name, backends, error }));
    return printJson({
      probes: found,
      names: asked,
      lists: pages.map((page) => ({ ...page, elapsedMs: roundMs(page.elapsedMs) })),
    });
  }
  if (pages.length > 0) print(`\n${table(["LIST", "PAGE", "RESULT", "ENTRIES", "AFTER", "WHY"], pages.map(pageRow))}`);
  if (names.length > 0) {
    const rows = names.map(({ name, backends, error }) => [
      ...[name, backends.join(" ") || "-", error === null ? "ok" : "FAILED", error ?? ""],
    ]);
    print(`\n${table(["NAME", "MEANS", "RESULT", "WHY"], rows)}`);
  }
  if (found.length === 0) {
    if (pages.length + names.length > 0) return;
    return print("\nno rule has a health check of a backend with an address: there is nothing to probe");
  }
  const rows = found.map(({ backend, check, succeeded, hindered, reason, elapsedMs }) => [
    ...[backend, check, succeeded ? "ok" : hindered ? "NOT POSSIBLE" : "FAILED"],
    ...[succeeded ? `${elapsedMs.toFixed(1)} ms` : "-", reason],
  ]);
  print(`\n${table(["BACKEND", "CHECK", "RESULT", "AFTER", "WHY"], rows)}`);
}

function pageRow({ list, url, succeeded, entries, elapsedMs, reason }: PageResult): (string | number)[] {
  return [list, url, succeeded ? "ok" : "FAILED", entries, `${elapsedMs.toFixed(1)} ms`, reason];
}

function lossesOf(config: Config): Obstacle[] {
  return lostBackends(config).map(({ name, path, noWay }) => ({
    path,
    message: `no packet would get to backend ${name}: ${noWay.text}`,
    hint: wayFix(name, noWay),
  }));
}
