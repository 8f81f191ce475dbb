/**
 * The XDP program's rare events, as sentences for the log. The program limits them to one a kind, CPU and second.
 *
 * @module
 */
import { BpfRingBuffer } from "../ffi/libbpf.ts";
import { EventAccount } from "./event_account.ts";
import { EVENT } from "./layout.gen.ts";
import { EVENT_KINDS, type EventKind, REASON_NAMES } from "./reasons.ts";

export interface SteerEvent {
  /** Undefined for one that this version does not know: the operator's own object may have others. */
  readonly kind: EventKind | undefined;
  readonly reason: string;
  readonly ifindex: number;
  readonly queue: number;
  readonly length: number;
  readonly port: number;
  /** Events of this kind that were not reported since the last one that was. */
  readonly suppressed: number;
}

export function openEvents(
  mapFd: number,
  onEvent: (event: SteerEvent) => void,
  account = new EventAccount(),
): BpfRingBuffer {
  return new BpfRingBuffer(mapFd, (sample) => {
    const kind = sample.getUint32(EVENT.kind, true);
    const count = Number(sample.getBigUint64(EVENT.count, true));
    onEvent({
      kind: EVENT_KINDS[kind],
      reason: REASON_NAMES[sample.getUint32(EVENT.reason, true)] ?? "unknown",
      ifindex: sample.getUint32(EVENT.ifindex, true),
      queue: sample.getUint32(EVENT.queue, true),
      length: sample.getUint32(EVENT.length, true),
      port: sample.getUint32(EVENT.port, true),
      suppressed: account.enter(kind, sample.getUint32(EVENT.cpu, true), count),
    });
  });
}
