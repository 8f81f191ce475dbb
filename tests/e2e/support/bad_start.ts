/**
 * Starts that must fail: with a sentence that helps, the right exit code, and nothing left behind.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { SpawnOptions, TestNetwork } from "../../support/netns.ts";
import { finish, type Finished, productCommand } from "./command.ts";
import { attachedTo } from "./link.ts";

export interface BadStart {
  /** Words before the product's: another user, fewer capabilities. */
  readonly as?: readonly string[];
  /** The product's arguments after `run --config FILE`. */
  readonly args?: readonly string[];
  /** Contents of the configuration; default: there is no such file. */
  readonly config?: string | Uint8Array;
  readonly spawn?: SpawnOptions;
}

/** Runs `xdpsteer run` in an empty directory of which it must leave nothing but the configuration. */
export async function startInVain(network: TestNetwork, directory: string, start: BadStart): Promise<Finished> {
  const { as = [], args = [], config, spawn } = start;
  const file = `${directory}/steering.yaml`;
  if (config !== undefined) await Deno.writeFile(file, typeof config === "string" ? encode(config) : config);
  const attachedBefore = await attachedTo(network);
  const argv = [...as, ...productCommand(), "run", "--config", file, ...args];
  const finished = await finish(network, argv, spawn);
  assert.deepEqual(await attachedTo(network), attachedBefore, "what is attached to the interface");
  assert.equal(finished.stdout, "");
  assertNoStack(finished.stderr);
  const left = [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) => !name.startsWith("given."));
  assert.deepEqual(left, config === undefined ? [] : ["steering.yaml"]);
  return finished;
}

/** Operators are told what is wrong, not where in our source it was noticed. */
export function assertNoStack(stderr: string): void {
  assert.doesNotMatch(stderr, /^ +at .*:\d+:\d+\)?$/m);
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
