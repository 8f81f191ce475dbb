/**
 * Copies packets of captured rules into the worker's ring, as they were received: before processing changes them.
 *
 * @module
 */
import type { Clock } from "../ffi/clock.ts";
import { readIcmpError, ReceivedError } from "../packet/received_error.ts";
import { destinationOf, PLAIN_DESTINATION, plainUdpPort, readUdp, sourceOf, UdpPacket } from "../packet/udp.ts";
import { ruleByAddress } from "../steering/rule_chains.ts";
import { CHAINED, type WorkerTable } from "../steering/worker_table.ts";
import type { Batch } from "./batch.ts";
import { CAPTURE_IDS, CaptureRingWriter } from "./capture_ring.ts";

/** What is to be captured: one of two halves in shared memory (steering/published.ts). */
export interface CapturePlan {
  /** Number of the capture, by rule slot; 0: none. */
  readonly captureOfRule: Uint16Array;
  /**
   * By number: every how many packets one is captured, 0 while the number is not in use; and most bytes kept of each.
   */
  readonly sample: Int32Array;
  readonly snap: Int32Array;
}

const PLANS = 2;

/** Memory for both halves. */
export function createCapturePlans(ruleSlots: number): SharedArrayBuffer {
  return new SharedArrayBuffer(PLANS * (CAPTURE_IDS * 8 + ((ruleSlots + 1) & ~1) * 2));
}

export function viewCapturePlans(memory: SharedArrayBuffer): readonly CapturePlan[] {
  const bytes = memory.byteLength / PLANS;
  return Array.from({ length: PLANS }, (_, index) => {
    const at = index * bytes;
    return {
      sample: new Int32Array(memory, at, CAPTURE_IDS),
      snap: new Int32Array(memory, at + CAPTURE_IDS * 4, CAPTURE_IDS),
      captureOfRule: new Uint16Array(memory, at + CAPTURE_IDS * 8, (bytes - CAPTURE_IDS * 8) / 2),
    };
  });
}

/** What a worker needs to capture; can be posted. */
export interface CaptureMemory {
  /** From createCapturePlans(). */
  readonly plans: SharedArrayBuffer;
  /** From createCaptureRing(). */
  readonly ring: SharedArrayBuffer;
  readonly ends: number;
}

export class CaptureTap {
  readonly #plans: readonly CapturePlan[];
  #plan: CapturePlan;
  readonly #ring: CaptureRingWriter;
  readonly #clock: Pick<Clock, "time" | "read">;
  readonly #packet = new UdpPacket();
  readonly #error = new ReceivedError();
  /** By capture: packets until the next one is captured; 0 before the first. */
  readonly #due = new Int32Array(CAPTURE_IDS);

  constructor({ plans, ring, ends }: CaptureMemory, clock: Pick<Clock, "time" | "read">) {
    this.#plans = viewCapturePlans(plans);
    this.#plan = this.#plans[0]!;
    this.#ring = new CaptureRingWriter(ring, ends);
    this.#clock = clock;
  }

  /** Goes by the plan of this version from now on. @returns False when nothing is captured any more. */
  note(version: number): boolean {
    this.#plan = this.#plans[version & 1]!;
    const { sample, captureOfRule } = this.#plan;
    for (let id = 0; id < CAPTURE_IDS; id++) {
      if (sample[id] === 0) this.#due[id] = 0; // it may be another one's number next
    }
    this.#ring.setPlanSeen(version);
    return captureOfRule.some((id) => id !== 0);
  }

  /** Captures what is to be captured of a batch that came by queue end `port`. Hot path: no allocation. */
  tap(umem: DataView, batch: Batch, table: WorkerTable, port: number): void {
    const { ruleOfPort } = table;
    const { captureOfRule, sample, snap } = this.#plan;
    const ring = this.#ring;
    const due = this.#due;
    const clock = this.#clock;
    let taken = 0;
    for (let index = 0; index < batch.count; index++) {
      const addr = batch.addr[index]!;
      const length = batch.length[index]!;
      let udpPort = plainUdpPort(umem, addr, length);
      let addressAt = addr + PLAIN_DESTINATION;
      let isIpv6 = false;
      if (udpPort < 0) {
        if (readUdp(umem, addr, length, this.#packet)) {
          udpPort = this.#packet.destinationPort;
          addressAt = destinationOf(this.#packet);
          isIpv6 = this.#packet.isIpv6;
        } else if (readIcmpError(umem, addr, length, this.#error)) {
          const { quoted } = this.#error;
          udpPort = quoted.sourcePort;
          addressAt = sourceOf(quoted);
          isIpv6 = quoted.isIpv6;
        } else continue;
      }
      let rule = ruleOfPort[udpPort]!;
      if (rule >= CHAINED) rule = ruleByAddress(table, rule, umem, addressAt, isIpv6);
      const id = captureOfRule[rule]!;
      if (id === 0) continue;
      if (due[id]! > 1) {
        due[id] = due[id]! - 1;
        continue;
      }
      due[id] = sample[id]!;
      if (taken++ === 0) clock.read();
      const kept = snap[id]!;
      ring.put(umem, addr, length, length < kept ? length : kept, id, port, clock.time);
    }
    if (taken > 0) ring.publish();
  }
}
