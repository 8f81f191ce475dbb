/** A thread that takes everything out of a ring in shared memory, and sees that it comes in order. */
import { ConsumerRing, type RingLayout } from "../../src/xsk/ring.ts";

export interface RingPeerJob {
  readonly memory: SharedArrayBuffer;
  readonly layout: RingLayout;
  /** Entries that will come: 0, 1, 2, …. */
  readonly entries: number;
}

/** The word, outside of the ring, that becomes 1 when this thread takes no more. */
export const PEER_ENDED = 60;
/** Looks in vain before a thread lets the other have its CPU. */
export const PATIENT_TURNS = 10_000;

/** @returns Entries in order, before the first that was not. */
function takeAll({ memory, layout, entries }: RingPeerJob): number {
  const ring = new ConsumerRing(new Int32Array(memory), layout);
  const { words } = ring;
  let expected = 0;
  let vain = 0;
  while (expected < entries) {
    const taken = ring.peek(16);
    if (taken === 0) {
      if (++vain % PATIENT_TURNS === 0) Atomics.wait(words, PEER_ENDED, 0, 1);
      continue;
    }
    vain = 0;
    const first = (ring.consumer - taken) | 0;
    for (let index = 0; index < taken; index++) {
      if (words[ring.addrAt((first + index) | 0)] !== expected) return expected;
      expected++;
    }
    ring.release();
  }
  return expected;
}

const scope = self as unknown as DedicatedWorkerGlobalScope;
if (typeof DedicatedWorkerGlobalScope !== "undefined" && scope instanceof DedicatedWorkerGlobalScope) {
  scope.onmessage = ({ data }: MessageEvent<RingPeerJob>) => {
    const taken = takeAll(data);
    Atomics.store(new Int32Array(data.memory), PEER_ENDED, 1);
    scope.postMessage(taken);
    scope.close();
  };
  scope.postMessage("ready");
}
