/** A thread that takes everything out of a ring in shared memory, and sees that it comes in order. */
import { ConsumerRing, type RingLayout } from "../../src/xsk/ring.ts";

export interface RingPeerJob {
  readonly memory: SharedArrayBuffer;
  readonly layout: RingLayout;
  /** Entries that will come: 0, 1, 2, …. */
  readonly entries: number;
}

/** @returns Entries in order, before the first that was not. */
function takeAll({ memory, layout, entries }: RingPeerJob): number {
  const ring = new ConsumerRing(new Int32Array(memory), layout);
  const { words } = ring;
  let expected = 0;
  while (expected < entries) {
    const taken = ring.peek(16);
    if (taken === 0) continue;
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
scope.onmessage = ({ data }: MessageEvent<RingPeerJob>) => {
  scope.postMessage(takeAll(data));
  scope.close();
};
scope.postMessage("ready");
