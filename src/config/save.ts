/**
 * Saves changed rules in the configuration file: the whole change or none of it.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { ConfigError, SteerError } from "../errors.ts";
import { editSteering } from "./edit.ts";
import { parseConfig, type ParseOptions } from "./parse.ts";
import type { Rule } from "../steering/rule.ts";
import { ReplaceableFile } from "./replaceable_file.ts";
import type { Config } from "./schema.ts";

/** A file that can be changed; its directory is held until this is disposed. */
export interface Saving extends Disposable {
  /** What it will hold. */
  readonly content: Uint8Array;
  /** Changes it. @throws {SteerError} and leaves the file alone where it cannot be written. */
  write(): Promise<void>;
  /** Puts back what it held before. @returns that. */
  takeBack(): Promise<Uint8Array>;
}

/**
 * Prepares a change of rules in the file, and in nothing else of it.
 *
 * @param wanted The configuration that the file must then say: what is in force after the change.
 * @returns what the caller disposes.
 * @throws {SteerError} where the file says something else besides, or cannot be edited.
 */
export function prepareSave(
  options: ParseOptions,
  wanted: Config,
  change: (rules: readonly Rule[]) => Rule[],
): Saving {
  const { file } = options;
  using resources = new DisposableStack();
  const place = resources.use(ReplaceableFile.open(file));
  const { before } = place;
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
      hint: "fix the file first, or make the change without saving it",
    });
  }
  const differs = !isDeepStrictEqual(content, before);
  const held = resources.move();
  return {
    content,
    write: async () => {
      if (differs) await place.replace(content);
    },
    takeBack: async () => {
      if (differs) await place.replace(before);
      return before;
    },
    [Symbol.dispose]: () => held.dispose(),
  };
}

/** A file that was edited since, or that lacks earlier changes, is not to be half in force after a save. */
function requireSame(file: string, found: Config, wanted: Config): void {
  const sections = (Object.keys(wanted) as (keyof Config)[])
    .filter((key) => key !== "steering" && !isDeepStrictEqual(found[key], wanted[key]));
  const byName = (rules: readonly Rule[]): Map<string, Rule> => new Map(rules.map((rule) => [rule.name, rule]));
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
      hint: "apply the file first (xdpsteer reload), then make and save the missing changes",
    },
  );
}
