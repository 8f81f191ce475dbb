/**
 * The XDP program's rare events, as sentences for the log. The program limits them to one a kind, CPU and second.
 *
 * @module
 */
import { BpfRingBuffer } from "../ffi/libbpf.ts";
import { EventAccount } from "./event_account.ts";
import { EVENT, EVENT_KIND, REASON } from "./layout.gen.ts";

export interface SteerEvent {
  readonly kind: "malformed" | "uncovered_queue";
  readonly reason: string;
  readonly ifindex: number;
  readonly queue: number;
  readonly length: number;
  readonly port: number;
  /** Events of this kind that were not reported since the last one that was. */
  readonly suppressed: number;
}

/** Indexed by kind, which is also the slot of its {@linkcode EventAccount}. */
export const KIND_NAMES: Readonly<Record<number, SteerEvent["kind"]>> = {
  [EVENT_KIND.MALFORMED]: "malformed",
  [EVENT_KIND.UNCOVERED_QUEUE]: "uncovered_queue",
};

/** `bad_length` for `REASON.BAD_LENGTH`: the names used in metrics, status and log. */
export const REASON_NAMES: readonly string[] = Object.entries(REASON)
  .filter(([name]) => name !== "COUNT")
  .sort(([, left], [, right]) => left - right)
  .map(([name]) => name.toLowerCase());

export function openEvents(
  mapFd: number,
  onEvent: (event: SteerEvent) => void,
  account = new EventAccount(),
): BpfRingBuffer {
  return new BpfRingBuffer(mapFd, (sample) => {
    const kind = sample.getUint32(EVENT.kind, true);
    const count = Number(sample.getBigUint64(EVENT.count, true));
    onEvent({
      kind: KIND_NAMES[kind]!,
      reason: REASON_NAMES[sample.getUint32(EVENT.reason, true)] ?? "unknown",
      ifindex: sample.getUint32(EVENT.ifindex, true),
      queue: sample.getUint32(EVENT.queue, true),
      length: sample.getUint32(EVENT.length, true),
      port: sample.getUint32(EVENT.port, true),
      suppressed: account.enter(kind, sample.getUint32(EVENT.cpu, true), count),
    });
  });
}
