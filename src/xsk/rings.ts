/**
 * A mapped ring as something that can be posted to another thread, and the way back to a ring.
 *
 * @module
 */
import { type MemoryAddress, viewMemory } from "../ffi/memory.ts";
import { ConsumerRing, ProducerRing, type RingLayout } from "./ring.ts";

/** Where a ring is in this process; valid in all its threads while the socket that made it is open. */
export interface RingAddress {
  readonly memory: MemoryAddress;
  readonly layout: RingLayout;
}

/** This thread's view of a fill or tx ring. */
export function producerRing({ memory, layout }: RingAddress): ProducerRing {
  return new ProducerRing(words(memory), layout);
}

/** This thread's view of an rx or completion ring. */
export function consumerRing({ memory, layout }: RingAddress): ConsumerRing {
  return new ConsumerRing(words(memory), layout);
}

function words(memory: MemoryAddress): Int32Array {
  return new Int32Array(viewMemory(memory), 0, memory.length >> 2);
}
