/**
 * What is odd in a valid configuration: `run` takes it, so these are warnings.
 *
 * @module
 */
import type { ConfigProblem } from "../errors.ts";
import type { HealthCheck } from "../steering/forward.ts";
import { capturePath } from "./capture.ts";
import { captureObstacle } from "./capture_place.ts";
import { idleRules } from "./idle_rules.ts";
import { cpuObstacle, groupObstacle, httpObstacle, socketObstacle } from "./machine_place.ts";
import { payloadDoubt } from "./payload.ts";
import type { ParsedConfig } from "./parse.ts";
import { toProblems } from "./problems.ts";
import type { Config } from "./schema.ts";
import { sharedBackends } from "./shared_backends.ts";
import { wideSources } from "./wide_sources.ts";
import { show } from "./wording.ts";
import type { Finding, YamlFile } from "./yaml_file.ts";

/** What is odd about a configuration, or what this machine lacks for it, at its place there. */
export interface Obstacle {
  readonly path: readonly (string | number)[];
  /** Begins small and ends without a full stop. */
  readonly message: string;
  readonly hint?: string;
}

/**
 * All that is odd, each at its place in the file.
 *
 * @param obstacles What else a start here would be refused for.
 * @param losses What would be lost here though it starts: whole sentences.
 */
export function configWarnings(
  parsed: ParsedConfig,
  obstacles: readonly Obstacle[] = [],
  losses: readonly Obstacle[] = [],
): ConfigProblem[] {
  const { control, workers } = parsed.config;
  return problems(parsed, [
    ...obstacles,
    ...possible(["workers", "cpus"], cpuObstacle(workers.cpus)),
    ...possible(["control", "group"], control.group === null ? undefined : groupObstacle(control.group)),
    ...possible(["control", "socket"], socketObstacle(control.socket)),
    ...possible(["control", "http"], control.http === null ? undefined : httpObstacle(control.http)),
  ], losses);
}

/** The same for a configuration that is to come into force where another one is: it starts nothing. */
export function liveWarnings(parsed: ParsedConfig): ConfigProblem[] {
  return problems(parsed, []);
}

/** Problems that are found elsewhere, at their places in the file. */
export function placedProblems({ file }: ParsedConfig, found: readonly Obstacle[]): ConfigProblem[] {
  return toProblems(file, found.map(({ path, message }) => ({ ...file.usePlace(path), message })));
}

function possible(path: Obstacle["path"], message: string | undefined): Obstacle[] {
  return message === undefined ? [] : [{ path, message }];
}

function problems(
  { config, file }: ParsedConfig,
  obstacles: readonly Obstacle[],
  losses: readonly Obstacle[] = [],
): ConfigProblem[] {
  const { capture: { directory }, steering: rules } = config;
  const missing = obstacles.map(({ path, message, hint }) => ({
    ...file.usePlace(path),
    message: `${message}: run would not start here${hint === undefined ? "" : ` (${hint})`}`,
  }));
  const lost = losses.map(({ path, message, hint }) => ({
    ...file.usePlace(path),
    message: hint === undefined ? message : `${message} (${hint})`,
  }));
  const odd = rules.flatMap(({ action, capture }, index) => [
    ...capture === undefined ? [] : captureFindings(file, index, capture.file, directory),
    ...action.kind !== "forward" || action.health === null ? [] : payloadFindings(file, index, action.health),
  ]);
  const empty = rules.length > 0 ? [] : [{
    ...file.usePlace(["steering"]),
    message: NO_RULE,
  }];
  const rest = oddSettings(config).map(({ path, message }) => ({ ...file.usePlace(path), message }));
  return toProblems(file, [...missing, ...lost, ...odd, ...rest, ...empty]);
}

/** What is odd about rules whose text nobody has: without its place. */
export function ruleWarnings(config: Config): string[] {
  const { capture: { directory }, steering: rules } = config;
  return [
    ...rules.flatMap(({ capture }) => {
      const message = capture === undefined ? undefined : captureObstacle(capture.file, directory);
      return message === undefined ? [] : [message + NO_CAPTURE];
    }),
    ...oddSettings(config).map(({ message }) => message),
    ...rules.length > 0 ? [] : [NO_RULE],
  ];
}

const NO_CAPTURE = ": run would steer, but not capture";
const NO_RULE = "there is no rule under steering: run would pass every packet to the kernel stack";

/** What is odd whatever the file's text and the machine are. */
function oddSettings(config: Config): Obstacle[] {
  return [...wideSources(config), ...sharedBackends(config.steering), ...idleRules(config.steering)];
}

function captureFindings(file: YamlFile, rule: number, captureFile: string, directory: string): Finding[] {
  const message = captureObstacle(captureFile, directory);
  if (message === undefined) return [];
  const path = ["steering", rule, "capture"];
  const place = file.usePlace(capturePath(file.valueAt(path)) === file.valueAt(path) ? path : [...path, "file"]);
  return [{ ...place, message: message + NO_CAPTURE }];
}

function payloadFindings(file: YamlFile, rule: number, check: HealthCheck): Finding[] {
  return (["send", "expect"] as const).flatMap((key) => {
    const place = file.place(["steering", rule, "action", "forward", "health", key]);
    const payload = check[key];
    const doubt = payload === null ? undefined : payloadDoubt(payload, file.text.slice(place.start, place.end));
    if (doubt === undefined) return [];
    return [{ ...place, message: `${key} ${show(payload)} ${doubt}: for bytes expected { hex: DIGITS }` }];
  });
}
