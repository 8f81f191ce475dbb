/**
 * What is odd in a valid configuration: `run` takes it, so these are warnings.
 *
 * @module
 */
import type { ConfigProblem } from "../errors.ts";
import type { HealthCheck } from "../steering/forward.ts";
import { capturePath } from "./capture.ts";
import { captureObstacle } from "./capture_place.ts";
import { cpuObstacle, groupObstacle, httpObstacle, socketObstacle } from "./machine_place.ts";
import { payloadDoubt } from "./payload.ts";
import { toProblems } from "./problems.ts";
import type { Config } from "./schema.ts";
import { show } from "./wording.ts";
import { type Finding, YamlFile } from "./yaml_file.ts";

/** What a start on this machine would be refused for. */
export interface Obstacle {
  readonly path: readonly (string | number)[];
  /** Begins small and ends without a full stop. */
  readonly message: string;
  readonly hint?: string;
}

/**
 * All that is odd, each at its place in the file.
 *
 * @param content A valid configuration.
 * @param config What it holds.
 * @param obstacles What else a start here would be refused for.
 */
export function configWarnings(
  content: Uint8Array,
  { capture: { directory }, control, steering: rules, workers }: Config,
  obstacles: readonly Obstacle[] = [],
): ConfigProblem[] {
  const text = new TextDecoder().decode(content);
  const file = new YamlFile(text);
  const possible = (path: Obstacle["path"], message: string | undefined): Obstacle[] =>
    message === undefined ? [] : [{ path, message }];
  const all = [
    ...obstacles,
    ...possible(["workers", "cpus"], cpuObstacle(workers.cpus)),
    ...possible(["control", "group"], control.group === null ? undefined : groupObstacle(control.group)),
    ...possible(["control", "socket"], socketObstacle(control.socket)),
    ...possible(["control", "http"], control.http === null ? undefined : httpObstacle(control.http)),
  ];
  const missing = all.map(({ path, message, hint }) => ({
    ...file.usePlace(path),
    message: `${message}: run would not start here${hint === undefined ? "" : ` (${hint})`}`,
  }));
  const odd = rules.flatMap(({ action, capture }, index) => [
    ...capture === undefined ? [] : captureFindings(file, index, capture.file, directory),
    ...action.kind !== "forward" || action.health === null ? [] : payloadFindings(file, text, index, action.health),
  ]);
  const empty = rules.length > 0 ? [] : [{
    ...file.usePlace(["steering"]),
    message: "there is no rule under steering: run would pass every packet to the kernel stack",
  }];
  return toProblems(text, file, [...missing, ...odd, ...empty]);
}

function captureFindings(file: YamlFile, rule: number, captureFile: string, directory: string): Finding[] {
  const message = captureObstacle(captureFile, directory);
  if (message === undefined) return [];
  const path = ["steering", rule, "capture"];
  const place = file.usePlace(capturePath(file.valueAt(path)) === file.valueAt(path) ? path : [...path, "file"]);
  return [{ ...place, message: `${message}: run would steer, but not capture` }];
}

function payloadFindings(file: YamlFile, text: string, rule: number, check: HealthCheck): Finding[] {
  return (["send", "expect"] as const).flatMap((key) => {
    const place = file.place(["steering", rule, "action", "forward", "health", key]);
    const payload = check[key];
    const doubt = payload === null ? undefined : payloadDoubt(payload, text.slice(place.start, place.end));
    if (doubt === undefined) return [];
    return [{ ...place, message: `${key} ${show(payload)} ${doubt}: for bytes expected { hex: DIGITS }` }];
  });
}
