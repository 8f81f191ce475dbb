/**
 * From the text of a configuration file to a checked {@linkcode Config}, or to all that is wrong with it.
 *
 * @module
 */

import { ConfigError, type ConfigProblem, SteerError } from "../errors.ts";
import type { Rule } from "../steering/rule.ts";
import * as z from "zod";
import { crossCheck } from "./check.ts";
import { MAX_FILE_SIZE, tooLarge, toProblems, wholeFile } from "./problems.ts";
import { type Config, configSchema } from "./schema.ts";
import { type Finding, YamlFile } from "./yaml_file.ts";

/** Circumstances a configuration is checked under. */
export interface ParseOptions {
  /** Name of the file in messages. */
  file: string;
  /** CPUs of the machine: what `workers.count: auto` means where no CPUs are listed. */
  cpuCount: number;
}

/** A configuration, and the file that knows where each of its values stands. */
export interface ParsedConfig {
  readonly config: Config;
  readonly file: YamlFile;
}

/** As {@linkcode parseFile}, for who only wants what it holds. @throws {ConfigError} */
export function parseConfig(text: string | Uint8Array, options: ParseOptions): Config {
  return parseFile(text, options).config;
}

/**
 * Parses and checks a configuration.
 *
 * Where the YAML itself is broken, only what stands before the first such place is checked further.
 *
 * @throws {ConfigError} with every problem found, in the order of the file, each with line, column and snippet.
 */
export function parseFile(text: string | Uint8Array, options: ParseOptions): ParsedConfig {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const fault = bytes.length > MAX_FILE_SIZE ? tooLarge(bytes.length) : findBinary(bytes);
  if (fault !== undefined) throw new ConfigError(options.file, [fault]);
  return parseText(new TextDecoder().decode(bytes), options);
}

function parseText(source: string, options: ParseOptions): ParsedConfig {
  const file = new YamlFile(source);
  if (file.value === null && file.findings.length === 0) {
    const message = "the file is empty: expected a map with version, interfaces and steering";
    throw new ConfigError(options.file, [wholeFile(message)]);
  }
  let findings: readonly Finding[] = file.findings;
  let config: Config | undefined;
  if (file.value !== null) {
    const schema = configSchema.safeParse(file.value);
    const cross = crossCheck(file, options.cpuCount);
    if (schema.success && cross.workerCount !== undefined) {
      config = { ...schema.data, workers: { ...schema.data.workers, count: cross.workerCount } };
    }
    const content = [...schemaFindings(file, schema.error?.issues ?? []), ...cross.findings];
    findings = [...findings, ...content.filter(({ end }) => end < file.brokenAt)];
  }
  if (findings.length === 0 && config !== undefined) return { config, file };
  throw new ConfigError(options.file, toProblems(file, findings));
}

function findBinary(bytes: Uint8Array): ConfigProblem | undefined {
  const nul = bytes.indexOf(0);
  const offset = nul >= 0 ? nul : isUtf8(bytes, false) ? -1 : firstInvalid(bytes);
  if (offset < 0) return undefined;
  const byte = (bytes[offset] ?? 0).toString(16).padStart(2, "0");
  return wholeFile(`is not text (byte 0x${byte} at offset ${offset}): expected a YAML file`);
}

function isUtf8(bytes: Uint8Array, mayBeCut: boolean): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: mayBeCut });
    return true;
  } catch {
    return false;
  }
}

/** The decoder does not say where it failed: look for the longest start of the file that is sound. */
function firstInvalid(bytes: Uint8Array): number {
  let sound = 0;
  let unsound = bytes.length;
  while (sound + 1 < unsound) {
    const middle = (sound + unsound) >> 1;
    if (isUtf8(bytes.subarray(0, middle), true)) sound = middle;
    else unsound = middle;
  }
  // It may end within the character that goes wrong.
  while (!isUtf8(bytes.subarray(0, sound), false)) sound--;
  return sound;
}

/** The schema's complaints, each at its place: one for each unknown key, and of a union those of the branch meant. */
function schemaFindings(file: YamlFile, issues: readonly z.core.$ZodIssue[]): Finding[] {
  return issues.flatMap((issue): Finding[] => {
    if (issue.code === "unrecognized_keys") {
      const messages = issue.message.split("\n");
      return issue.keys.map((key, index) => ({
        ...file.keyPlace([...issue.path, key]),
        message: messages[index] ?? issue.message,
      }));
    }
    if (issue.code === "invalid_union") {
      // A complaint from inside a list or map tells that this one was meant, and what in it is wrong.
      const inside = issue.errors.filter((branch) => branch.some(({ path }) => path.length > 0));
      const hasUnknown = (branch: typeof inside[number], deep: boolean): boolean =>
        branch.some(({ code, path }) => code === "unrecognized_keys" && (deep || path.length === 0));
      const meant = inside.find((branch) => !hasUnknown(branch, false)) ?? inside[0] ??
        issue.errors.find((branch) => hasUnknown(branch, true));
      if (meant !== undefined) {
        return schemaFindings(file, meant.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })));
      }
    }
    return [{ ...file.place(issue.path), message: issue.message }];
  });
}

/**
 * Checks a configuration as a file that says the same is checked: whoever changes rules in another way than by a file
 * goes through the same checks.
 *
 * @throws {SteerError} in the file's words, without the places.
 */
export function recheck(config: Config): Config {
  return recheckText(writeConfig(config), config);
}

/**
 * The same for rules that are only asked for, as they would be in the file: checked as the only ones of a
 * configuration.
 */
export function checkRules(rules: readonly unknown[], config: Config): readonly Rule[] {
  const file = JSON.parse(writeConfig({ ...config, steering: [] }));
  return recheckText(JSON.stringify({ ...file, steering: rules }), config).steering;
}

function recheckText(text: string, { workers }: Config): Config {
  try {
    return parseText(text, { file: "", cpuCount: workers.count }).config; // JSON is YAML
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new SteerError(error.problems.map(({ message }) => message).join("\n"));
  }
}

/**
 * A configuration as the text of a file that says the same: JSON, which is YAML, every key with its value.
 *
 * @param spaces By which its lines are indented.
 */
export function writeConfig(config: Config, spaces?: number): string {
  return JSON.stringify(z.encode(configSchema, config), null, spaces);
}
