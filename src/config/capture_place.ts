/**
 * Whether the files that rules are captured in can be made on this machine. `run` steers all the same and logs an
 * error, so here it is a warning.
 *
 * @module
 */
import type { ConfigProblem } from "../errors.ts";
import type { Rule } from "../steering/rule.ts";
import { capturePath } from "./capture.ts";
import { toProblems } from "./problems.ts";
import { show } from "./wording.ts";
import { type Finding, YamlFile } from "./yaml_file.ts";

/**
 * What is in the way of capture files, each at its place in the file. Whether the user that runs the service may write
 * there is not known here.
 *
 * @param content A valid configuration.
 * @param rules What it holds.
 */
export function captureWarnings(content: Uint8Array, rules: readonly Rule[]): ConfigProblem[] {
  if (rules.every(({ capture }) => capture === undefined)) return [];
  const text = new TextDecoder().decode(content);
  const file = new YamlFile(text);
  const findings = rules.flatMap(({ capture }, index): Finding[] => {
    if (capture === undefined) return [];
    const message = obstacle(capture.file);
    if (message === undefined) return [];
    const path = ["steering", index, "capture"];
    const place = file.usePlace(capturePath(file.valueAt(path)) === file.valueAt(path) ? path : [...path, "file"]);
    return [{ ...place, message: `${message}: run would steer, but not capture` }];
  });
  return toProblems(text, file, findings);
}

function obstacle(file: string): string | undefined {
  const directory = file.slice(0, file.lastIndexOf("/")) || "/";
  try {
    if (!Deno.statSync(directory).isDirectory) return `capture directory ${show(directory)} is not a directory`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `capture directory ${show(directory)} does not exist`;
    if (error instanceof Deno.errors.NotADirectory) return `a part of ${show(directory)} is not a directory`;
    return undefined; // this user may not look
  }
  try {
    if (!Deno.lstatSync(file).isFile) return `capture file ${show(file)} is there already and is no regular file`;
  } catch {
    // Not there yet.
  }
  return undefined;
}
