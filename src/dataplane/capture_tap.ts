/**
 * Copies packets of captured rules into the worker's ring, as they were received: before processing changes them.
 *
 * @module
 */
import type { Clock } from "../ffi/clock.ts";
import { plainUdpPort, readUdp, UdpPacket } from "../packet/udp.ts";
import type { WorkerTable } from "../steering/worker_table.ts";
import type { Batch } from "./batch.ts";
import { CAPTURE_IDS, CaptureRingWriter } from "./capture_ring.ts";

/** What is to be captured: in shared memory, written by the control thread while workers read it. */
export class CapturePlan {
  /** Number of the capture, by rule slot; 0: none. */
  readonly captureOfRule: Uint16Array;
  /** By number: every how many packets one is captured, 0 while the number is not in use; and most bytes kept of each. */
  readonly sample: Int32Array;
  readonly snap: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.sample = new Int32Array(memory, 0, CAPTURE_IDS);
    this.snap = new Int32Array(memory, CAPTURE_IDS * 4, CAPTURE_IDS);
    this.captureOfRule = new Uint16Array(memory, CAPTURE_IDS * 8);
  }

  static createMemory(ruleSlots: number): SharedArrayBuffer {
    return new SharedArrayBuffer(CAPTURE_IDS * 8 + ruleSlots * 2);
  }

  get isEmpty(): boolean {
    return this.captureOfRule.every((id) => id === 0);
  }
}

/** What a worker needs to capture; can be posted. */
export interface CaptureMemory {
  readonly plan: SharedArrayBuffer;
  /** From createCaptureRing(). */
  readonly ring: SharedArrayBuffer;
  readonly ports: number;
}

export class CaptureTap {
  readonly #plan: CapturePlan;
  readonly #ring: CaptureRingWriter;
  readonly #clock: Pick<Clock, "time" | "read">;
  readonly #packet = new UdpPacket();
  /** By capture: packets until the next one is captured; 0 before the first. */
  readonly #due = new Int32Array(CAPTURE_IDS);

  constructor({ plan, ring, ports }: CaptureMemory, clock: Pick<Clock, "time" | "read">) {
    this.#plan = new CapturePlan(plan);
    this.#ring = new CaptureRingWriter(ring, ports);
    this.#clock = clock;
  }

  /** Takes a changed plan up. @returns False when nothing is captured any more. */
  note(version: number): boolean {
    const { sample } = this.#plan;
    for (let id = 0; id < CAPTURE_IDS; id++) {
      if (sample[id] === 0) this.#due[id] = 0; // it may be another one's number next
    }
    this.#ring.setPlanSeen(version);
    return !this.#plan.isEmpty;
  }

  /** Captures what is to be captured of a batch that came by queue port `port`. Hot path: no allocation. */
  tap(umem: DataView, batch: Batch, { ruleOfPort }: WorkerTable, port: number): void {
    const { captureOfRule, sample, snap } = this.#plan;
    const ring = this.#ring;
    const due = this.#due;
    const clock = this.#clock;
    let taken = 0;
    for (let index = 0; index < batch.count; index++) {
      const addr = batch.addr[index]!;
      const length = batch.length[index]!;
      let udpPort = plainUdpPort(umem, addr, length);
      if (udpPort < 0) {
        if (!readUdp(umem, addr, length, this.#packet)) continue;
        udpPort = this.#packet.destinationPort;
      }
      const id = captureOfRule[ruleOfPort[udpPort]!]!;
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
