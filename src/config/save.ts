/**
 * Saves changed rules in the configuration file: the whole change or none of it.
 *
 * @module
 */
import { basename, dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ConfigError, messageOf, SteerError } from "../errors.ts";
import { editSteering } from "./edit.ts";
import { readConfig } from "./load.ts";
import { parseConfig, type ParseOptions } from "./parse.ts";
import type { Config, RuleConfig } from "./schema.ts";

const BY_HAND = "make the change without --save, and in the file by hand";

/** A file that has been changed. */
export interface Saved {
  /** What it holds now. */
  readonly content: Uint8Array;
  /** Puts back what it held before. @returns that. */
  takeBack(): Uint8Array;
}

/**
 * Makes a change of rules in the file, and in nothing else of it.
 *
 * @param wanted The configuration that the file must then say: what is in force after the change.
 * @throws {SteerError} and leaves the file alone where it says something else besides, or cannot be written.
 */
export function saveRules(
  options: ParseOptions,
  wanted: Config,
  change: (rules: readonly RuleConfig[]) => RuleConfig[],
): Saved {
  const { file } = options;
  requireReplaceable(file);
  const before = readConfig(file);
  let content = before;
  try {
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(before);
    const config = parseConfig(before, options);
    const steering = change(config.steering);
    requireSame(file, { ...config, steering }, wanted);
    content = new TextEncoder().encode(editSteering(text, steering, options));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new SteerError(`Cannot save to "${file}": it is not valid\n${error.message}`, {
      hint: "fix the file first, or make the change without --save",
    });
  }
  if (!isDeepStrictEqual(content, before)) replaceFile(file, content);
  return {
    content,
    takeBack: () => {
      if (content !== before) replaceFile(file, before);
      return before;
    },
  };
}

/** A file that was edited since, or that lacks earlier changes, is not to be half in force after a save. */
function requireSame(file: string, found: Config, wanted: Config): void {
  const sections = (Object.keys(wanted) as (keyof Config)[])
    .filter((key) => key !== "steering" && !isDeepStrictEqual(found[key], wanted[key]));
  const byName = (rules: readonly RuleConfig[]): Map<string, RuleConfig> =>
    new Map(rules.map((rule) => [rule.name, rule]));
  const [here, there] = [byName(found.steering), byName(wanted.steering)];
  const names = new Set([...here.keys(), ...there.keys()]);
  const rules = [...names].filter((name) => !isDeepStrictEqual(here.get(name), there.get(name)));
  const differences = [
    ...sections,
    ...(rules.length > 0 ? [`the rules ${rules.slice(0, 10).join(", ")}${rules.length > 10 ? ", and more" : ""}`] : []),
  ];
  if (differences.length === 0 && isDeepStrictEqual(found.steering, wanted.steering)) return;
  const what = differences.length === 0 ? "the order of the rules" : differences.join(", ");
  throw new SteerError(
    `Cannot save to "${file}": it differs from the active configuration in more than this change: ${what}`,
    {
      hint: "apply the file first (xdpsteer reload), then make the missing changes with --save",
    },
  );
}

/** @throws {SteerError} for a file that a rename would not replace in the way its owner means it. */
function requireReplaceable(path: string): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    throw new SteerError(`Cannot save to "${path}": ${messageOf(error)}`, { cause: error, hint: BY_HAND });
  }
  const { isFile, isSymlink } = info;
  if (isSymlink) {
    throw new SteerError(`Cannot save to "${path}": it is a symbolic link, as a Kubernetes ConfigMap makes them`, {
      hint: "change the file where it comes from; the change is applied when it arrives",
    });
  }
  if (!isFile) throw new SteerError(`Cannot save to "${path}": it is not a regular file`, { hint: BY_HAND });
}

/**
 * Puts `content` in the place of a file by rename, with the mode and owner that it has. Who reads it sees the old content or the
 * new, also after a loss of power.
 *
 * @throws {SteerError} and leaves the file as it was.
 */
function replaceFile(path: string, content: Uint8Array): void {
  const directory = dirname(path);
  const temporary = `${directory}/.${basename(path)}.${crypto.randomUUID().slice(0, 8)}`;
  try {
    const { mode, uid, gid } = Deno.statSync(path);
    write(temporary, content, { mode: (mode ?? 0o600) & 0o7777, uid, gid });
    Deno.renameSync(temporary, path);
    sync(directory);
  } catch (error) {
    try {
      Deno.removeSync(temporary);
    } catch {
      // It was not made, or has been renamed.
    }
    throw new SteerError(`Cannot save to "${path}": ${reason(error)}`, {
      cause: error,
      hint: hintFor(error, directory),
    });
  }
}

interface Attributes {
  readonly mode: number;
  readonly uid: number | null;
  readonly gid: number | null;
}

function write(path: string, content: Uint8Array, { mode, uid, gid }: Attributes): void {
  using file = Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
  const mine = file.statSync();
  if (mine.uid !== uid || mine.gid !== gid) Deno.chownSync(path, uid, gid);
  Deno.chmodSync(path, mode);
  for (let rest = content; rest.byteLength > 0;) rest = rest.subarray(file.writeSync(rest));
  file.syncSync();
}

/** The rename too is to be there after a loss of power. */
function sync(directory: string): void {
  using opened = Deno.openSync(directory);
  opened.syncSync();
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.PermissionDenied) return "this user may not write there, or not keep its owner";
  return messageOf(error);
}

function hintFor(error: unknown, directory: string): string {
  const refused = error instanceof Deno.errors.PermissionDenied || messageOf(error).includes("os error 30");
  if (!refused) return BY_HAND;
  return `${BY_HAND}, or let the service write there: under systemd, ReadWritePaths=${directory} where ProtectSystem= ` +
    "forbids it, and a directory and file that belong to its user";
}
