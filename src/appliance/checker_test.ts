import assert from "node:assert/strict";
import { checkConfig } from "../config/check_thread.ts";
import { ConfigError } from "../errors.ts";
import { type Check, checkerOf } from "./checker.ts";

const ENTRY = new URL("../../main.ts", import.meta.url);
const FILE = "steering.yaml";
const CPUS = 2;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Its thread ends with the test. */
function checker(): { readonly check: Check } & Disposable {
  const stopping = new AbortController();
  const check = checkerOf({ entry: ENTRY, cpuCount: CPUS, signal: stopping.signal });
  return { check, [Symbol.dispose]: () => stopping.abort() };
}

const GOOD = "version: 1\ninterfaces: [{ name: eth0 }]\nsteering: [{ name: game, ports: 7777, action: echo }]\n";
/** Takes some seconds of the parser's time. */
const SLOW = "!a ".repeat(300_000);
/** Makes a file so large that a thread checks it. */
const COMMENT = `# ${"a".repeat(10_000)}\n`;

Deno.test("a small and a large configuration come out the same, good or bad", async () => {
  using checking = checker();
  const { check } = checking;
  const expected = checkConfig(encode(GOOD), { file: FILE, cpuCount: CPUS });
  assert.deepEqual(await check(encode(GOOD), FILE), expected);
  assert.deepEqual(await check(encode(GOOD + COMMENT), FILE), expected);

  const bad = GOOD.replace("7777", "70000");
  const refusal = async (text: string): Promise<ConfigError> => {
    const error = await Promise.try(() => check(encode(text), FILE)).then(() => undefined, (error) => error);
    assert.ok(error instanceof ConfigError, `${error}`);
    return error;
  };
  const [small, large] = [await refusal(bad), await refusal(bad + COMMENT)];
  assert.deepEqual(large.problems, small.problems);
  assert.equal(large.message, small.message);
});

Deno.test("what takes too long to check is given up, and this thread was free all the while", async () => {
  const limited = checkerOf({ entry: ENTRY, cpuCount: CPUS, limitMs: 1 });
  await assert.rejects(
    async () => await limited(encode(SLOW), FILE),
    /^ConfigError: steering.yaml: checking it was given up after 0.001 s: expected a configuration/,
  );
});

Deno.test("a stop ends a check that is under way, and refuses one that comes after it", async () => {
  const stopping = new AbortController();
  const stopped = checkerOf({ entry: ENTRY, cpuCount: CPUS, signal: stopping.signal });
  const refused = /^SteerError: "steering.yaml" is not checked to its end: xdpsteer stops$/;
  const under = Promise.try(() => stopped(encode(SLOW), FILE));
  stopping.abort();
  await assert.rejects(under, refused);
  await assert.rejects(async () => await stopped(encode(SLOW), FILE), refused);
});

Deno.test("a check ends when whoever asked for it does not want it any more, with what he says", async () => {
  using checking = checker();
  const { check } = checking;
  const changed = new AbortController();
  const under = Promise.try(() => check(encode(SLOW), FILE, changed.signal));
  changed.abort(new Error("changed"));
  await assert.rejects(under, /^Error: changed$/);
  const expected = checkConfig(encode(GOOD), { file: FILE, cpuCount: CPUS });
  assert.deepEqual(await check(encode(GOOD + COMMENT), FILE), expected, "by another thread");
});

Deno.test("a thread checks one large configuration after another", async () => {
  using checking = checker();
  const { check } = checking;
  const expected = checkConfig(encode(GOOD), { file: FILE, cpuCount: CPUS });
  let started = 0;
  const { Worker: System } = globalThis;
  globalThis.Worker = class extends System {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      started++;
    }
  };
  try {
    for (let round = 0; round < 5; round++) assert.deepEqual(await check(encode(GOOD + COMMENT), FILE), expected);
  } finally {
    globalThis.Worker = System;
  }
  assert.equal(started, 1);
});
