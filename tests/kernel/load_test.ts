import assert from "node:assert/strict";
import { SteeringProgram } from "../../src/bpf/program.ts";
import { SteerError } from "../../src/errors.ts";
import { requireKernel } from "../support/netns.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const OBJECT = Deno.readFileSync(`${ROOT}build/steer.bpf.o`);

/** The error with which the object is refused; anything but a SteerError is a failure of its own. */
async function refusal(object: Uint8Array<ArrayBuffer>): Promise<SteerError> {
  requireKernel();
  try {
    using _program = await SteeringProgram.load({ object, workerCount: 1, queueLimit: 1 });
  } catch (error) {
    assert.ok(error instanceof SteerError, `${error}`);
    return error;
  }
  throw new Error("The object was accepted");
}

/** Compiles the steering program with one more program beside it. */
async function compileWith(source: string): Promise<Uint8Array<ArrayBuffer>> {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/more.bpf.c`, `#include "steer.bpf.c"\n${source}`);
    const machine = Deno.build.arch;
    const { success, stderr } = await new Deno.Command("clang", {
      args: [
        ...["-O2", "-g", "-std=gnu11", "-target", "bpf", "-mcpu=v3", `-I/usr/include/${machine}-linux-gnu`],
        ...[`-I${ROOT}bpf`, "-c", `${directory}/more.bpf.c`, "-o", `${directory}/more.bpf.o`],
      ],
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    return await Deno.readFile(`${directory}/more.bpf.o`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("SteeringProgram.load() refuses bytes that are no object", async () => {
  for (const length of [0, 1, 3, 64, 4096, 100_000]) {
    const noise = new Uint8Array(length);
    for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(noise.subarray(at, at + 65_536));
    assert.match((await refusal(noise)).message, /^Cannot read the BPF object: ./);
  }
});

Deno.test("SteeringProgram.load() refuses a truncated object wherever it ends", async () => {
  // The section table is at the end, so no prefix is whole.
  for (let length = 4; length < OBJECT.length; length += 997) {
    assert.match((await refusal(OBJECT.slice(0, length))).message, /BPF object/);
  }
  assert.match((await refusal(OBJECT.slice(0, -1))).message, /BPF object/);
});

Deno.test("SteeringProgram.load() refuses an ELF file that is no BPF object", async () => {
  const { message } = await refusal(Deno.readFileSync(Deno.execPath()).slice(0, 1 << 20));
  assert.match(message, /^Cannot read the BPF object: ./);
});

Deno.test("SteeringProgram.load() refuses another project's BPF object", async () => {
  await refusal(Deno.readFileSync(`${ROOT}build/traffic.bpf.o`));
});

Deno.test("SteeringProgram.load() carries the verifier's words", async () => {
  const object = await compileWith(`
SEC("xdp") int reads_unchecked(struct xdp_md *ctx)
{
	return *(int *)(long)ctx->data;
}`);
  const { message } = await refusal(object);
  assert.match(message, /^Cannot load the BPF object: bpf failed with EACCES \(13\)\n/);
  assert.match(message, /reads_unchecked/);
  assert.match(message, /invalid access to packet/);
});

Deno.test("SteeringProgram.load() carries a long verifier log to its end, where the reason is", async () => {
  const object = await compileWith(`
SEC("xdp") int reads_unchecked(struct xdp_md *ctx)
{
	volatile long number = 0;
#pragma unroll
	for (int i = 0; i < 2000; i++)
		number += i;
	return *(int *)(long)ctx->data;
}`);
  const { message } = await refusal(object);
  assert.ok(message.length > 100_000, `the log has ${message.length} characters`);
  assert.match(message, /invalid access to packet/);
});

Deno.test("SteeringProgram.load() works after refusals", async () => {
  using _program = await SteeringProgram.load({ workerCount: 1, queueLimit: 1 });
});

/** Twice as many as with Linux 6.1 and 6.18. It was six times as many when loading took 0.2 s of CPU. */
const MOST_VERIFIED = 70_000;

Deno.test("the verifier follows the steering program in few instructions, with one worker and with many", async () => {
  requireKernel();
  for (const workerCount of [1, 64]) {
    using program = await SteeringProgram.load({ workerCount, queueLimit: 1 });
    const info = Deno.readTextFileSync(`/proc/self/fdinfo/${program.fd}`);
    const verified = Number(/^verified_insns:\s*(\d+)$/m.exec(info)?.[1]);
    assert.ok(verified > 1000 && verified < MOST_VERIFIED, `${verified} instructions with ${workerCount} workers`);
  }
});
