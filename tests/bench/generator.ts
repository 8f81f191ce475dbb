/**
 * Sends live frames for a time, and prints what it sent: `generator.ts --json '{...}'`, in the client's namespace.
 */
import { parseArgs } from "node:util";
import { interfaceIndex } from "../../src/ffi/libc.ts";
import { LiveFrames } from "../../src/traffic/live_frames.ts";
import { INTERFACES, IPV4, MACS } from "../../src/traffic/veth_network.ts";

export interface GeneratorOrder {
  readonly ports: readonly number[];
  readonly durationMs: number;
  readonly payloadBytes: number;
  readonly flows: number;
  /** CPUs to send from; on a veth each is one queue of the receiver. They take turns. */
  readonly cpus: readonly number[];
  readonly ratePps?: number;
}

export interface GeneratorReport {
  readonly sent: number;
  /** Time spent sending. */
  readonly elapsedMs: number;
}

/** One call sets up for some 25 ms, so it is to send for long. */
const CALL_MS = 500;
const FRAMES_PER_CALL = 2_000_000;

if (import.meta.main) {
  const { values: { json } } = parseArgs({ options: { json: { type: "string" } } });
  const { durationMs, cpus, ...options } = JSON.parse(json!) as GeneratorOrder;
  using frames = LiveFrames.load({
    ifindex: interfaceIndex(INTERFACES.client),
    source: { mac: MACS.client, address: IPV4.client },
    destination: { mac: MACS.steer, address: IPV4.steer },
    ...options,
  });
  const perCall = options.ratePps === undefined ? FRAMES_PER_CALL : Math.ceil(options.ratePps * CALL_MS / 1000);
  let sent = 0;
  let elapsedMs = 0;
  for (let turn = 0; elapsedMs < durationMs; turn++) {
    const start = performance.now();
    sent += frames.send(perCall, cpus[turn % cpus.length]);
    elapsedMs += performance.now() - start;
  }
  // deno-lint-ignore no-console -- this is a program, and the line is its answer
  console.log(JSON.stringify({ sent, elapsedMs } satisfies GeneratorReport));
}
