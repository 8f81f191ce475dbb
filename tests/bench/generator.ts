/**
 * Sends live frames as ordered: reads one JSON object a line, and prints one for each. Runs in the client's namespace.
 */
// deno-lint-ignore-file no-console -- this is a program, and the lines are its answers
import { createInterface } from "node:readline";
import process from "node:process";
import { interfaceIndex } from "../../src/ffi/libc.ts";
import { FreshFrames } from "./fresh_frames.ts";
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
  /** For a receiver that changes frames in place. One port, no rate. */
  readonly fresh?: boolean;
}

export interface GeneratorReport {
  readonly sent: number;
  /** Time spent sending. */
  readonly elapsedMs: number;
}

/** Sent before anything is known of the rate. */
const FIRST_FRAMES = 100_000;
const LITTLE_FRAMES = 64;
const SETUP_ROUNDS = 5;

/** A source for one kind of order. */
class Source implements Disposable {
  readonly #frames: LiveFrames | FreshFrames;
  /** A call of the kernel's sets up for some 25 ms, which is no part of sending. */
  readonly #setupMs: number;
  /** Sent to find that out, and not reported yet. */
  #unreported = SETUP_ROUNDS * LITTLE_FRAMES;
  #perMs: number | undefined;

  private constructor(frames: LiveFrames | FreshFrames, { ratePps, cpus }: GeneratorOrder) {
    this.#frames = frames;
    this.#perMs = ratePps === undefined ? undefined : ratePps / 1000;
    const setups = Array.from({ length: SETUP_ROUNDS }, () => this.#call(LITTLE_FRAMES, cpus[0]!).elapsedMs);
    this.#setupMs = Math.min(...setups);
  }

  static async open(order: GeneratorOrder): Promise<Source> {
    const { durationMs: _, cpus: __, ...options } = order;
    const source = { mac: MACS.client, address: IPV4.client };
    const destination = { mac: MACS.steer, address: IPV4.steer };
    const frames = await (options.fresh
      ? FreshFrames.load({
        ...options,
        interface: INTERFACES.client,
        source,
        destination: { ...destination, port: options.ports[0]! },
      })
      : LiveFrames.load({ ifindex: interfaceIndex(INTERFACES.client), source, destination, ...options }));
    return new Source(frames, order);
  }

  send({ durationMs, cpus }: GeneratorOrder): GeneratorReport {
    let sent = this.#unreported;
    this.#unreported = 0;
    let elapsedMs = 0;
    for (let call = 0; elapsedMs < durationMs; call++) {
      // As few calls as there are CPUs to take turns.
      const share = Math.max(Math.min(durationMs / cpus.length, durationMs - elapsedMs), 1);
      const count = this.#perMs === undefined ? FIRST_FRAMES : Math.ceil(this.#perMs * share);
      const report = this.#call(count, cpus[call % cpus.length]!);
      const tookMs = Math.max(report.elapsedMs - this.#setupMs, 0.1);
      this.#perMs = report.sent / tookMs;
      sent += report.sent;
      elapsedMs += tookMs;
    }
    return { sent, elapsedMs };
  }

  #call(count: number, cpu: number): GeneratorReport {
    const start = performance.now();
    const sent = this.#frames.send(count, cpu);
    return { sent, elapsedMs: performance.now() - start };
  }

  [Symbol.dispose](): void {
    this.#frames[Symbol.dispose]();
  }
}

if (import.meta.main) {
  const sources = new Map<string, Source>();
  for await (const line of createInterface(process.stdin)) {
    const order = JSON.parse(line) as GeneratorOrder;
    const key = JSON.stringify({ ...order, durationMs: 0 });
    const source = sources.get(key) ?? await Source.open(order);
    sources.set(key, source);
    console.log(JSON.stringify(source.send(order)));
  }
  for (const source of sources.values()) source[Symbol.dispose]();
}
