/** A thread that takes everything out of a ring in shared memory, and sees that it comes in order. */
import { ConsumerRing, type RingLayout } from "../../src/xsk/ring.ts";
import { Patience } from "./patience.ts";

export interface RingPeerJob {
  readonly memory: SharedArrayBuffer;
  readonly layout: RingLayout;
  /** Entries that will come: 0, 1, 2, …. */
  readonly entries: number;
}

/** @returns Entries in order, before the first that was not. All are taken, so that the other side comes to its end. */
function takeAll({ memory, layout, entries }: RingPeerJob): number {
  const ring = new ConsumerRing(new Int32Array(memory), layout);
  const patience = new Patience();
  const { words } = ring;
  let inOrder = 0;
  for (let all = 0; all < entries;) {
    const taken = ring.peek(16);
    if (taken === 0) {
      patience.wait();
      continue;
    }
    const first = (ring.consumer - taken) | 0;
    for (let index = 0; index < taken; index++, all++) {
      if (inOrder === all && words[ring.addrAt((first + index) | 0)] === all) inOrder++;
    }
    ring.release();
    patience.renew();
  }
  return inOrder;
}

const scope = self as unknown as DedicatedWorkerGlobalScope;
scope.onmessage = ({ data }: MessageEvent<RingPeerJob>) => {
  scope.postMessage(takeAll(data));
  scope.close();
};
scope.postMessage("ready");
