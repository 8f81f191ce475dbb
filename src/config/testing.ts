/**
 * What the tests of the configuration share.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as z from "zod";
import { ConfigError } from "../errors.ts";
import { parseConfig } from "./parse.ts";
import { configSchema } from "./schema.ts";

/** The two lines every configuration needs. */
export const HEAD = "version: 1\ninterfaces: [{ name: eth0 }]\n";

/** What is wrong with a text on a machine with four CPUs; nothing where it is a configuration. */
export function problemsOf(text: string | Uint8Array): ConfigError["problems"] {
  try {
    parseConfig(text, { file: "steering.yaml", cpuCount: 4 });
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}

/** Each problem as `line:column message`. */
export function complaints(text: string | Uint8Array): string[] {
  return problemsOf(text).map(({ line, column, message }) => `${line}:${column} ${message}`);
}

interface Section {
  readonly properties?: Readonly<Record<string, Section>>;
  readonly items?: Section;
  readonly anyOf?: readonly Section[];
}
const WHOLE = z.toJSONSchema(configSchema, { io: "input" }) as Section;

/**
 * The keys of a section in the order of the schema, as messages list them: `keysOf("workers")` is `count, cpus, wait`.
 */
export function keysOf(...path: readonly string[]): string {
  const mapIn = ({ properties, items, anyOf = [] }: Section): Section["properties"] =>
    properties ?? [...(items === undefined ? [] : [items]), ...anyOf].map(mapIn).find((map) => map !== undefined);
  const map = path.reduce((keys, key) => mapIn(keys![key]!), mapIn(WHOLE));
  return Object.keys(map!).join(", ");
}
