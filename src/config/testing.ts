/**
 * What the tests of the configuration share.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ConfigError } from "../errors.ts";
import { parseConfig } from "./parse.ts";

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
