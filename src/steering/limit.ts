/**
 * How much a rule takes: token buckets, and what a packet costs of them. bpf/limit.h has the buckets.
 *
 * A bucket is full for `size`, and fills up by one each 1/256 ns. A packet costs as much as comes in while the next one
 * is not yet due.
 *
 * @module
 */

/** Rates and bursts of a bucket. Null: no bound, or for a burst its default. */
export interface Rates {
  /** A second. */
  readonly packets: number | null;
  /** Packets that may come at once. */
  readonly burst: number | null;
  /** Bytes of frames a second. */
  readonly bytes: number | null;
  readonly burstBytes: number | null;
}

export interface Limit {
  /** Of each source; null: no bound. */
  readonly perSource: Rates | null;
  /** Of all sources together. */
  readonly total: Rates | null;
  /** Bits of an address that are a source. */
  readonly ipv4Prefix: number;
  readonly ipv6Prefix: number;
  /** Seconds that a source is banned for that sends more than it may; null: it is not. */
  readonly ban: number | null;
  readonly mode: "enforce" | "observe";
}

/** What rates are in the kernel: costs, and sizes of buckets. 0 is no bound. */
export interface Costs {
  readonly packet: bigint;
  readonly packets: bigint;
  readonly byte: bigint;
  readonly bytes: bigint;
}

/** Most of a burst: what comes in within so many seconds. The kernel tells buckets apart from the past by that. */
export const MAX_BURST_SECONDS = 3600;
/** The largest frame has to fit. */
export const MIN_BURST_BYTES = 65_536;
const SECOND = 256n * 1_000_000_000n;
const BYTE_SHIFT = 16n;

/** Where nothing else is said, as much as comes in within a second may come at once. */
export function costsOf(rates: Rates | null): Costs {
  const { packets = null, burst = null, bytes = null, burstBytes = null } = rates ?? {};
  const packet = packets === null ? 0n : SECOND / BigInt(packets);
  const byte = bytes === null ? 0n : (SECOND << BYTE_SHIFT) / BigInt(bytes);
  return {
    packet,
    packets: packet * BigInt(burst ?? packets ?? 0),
    byte,
    bytes: byteCost(byte, defaultBurstBytes(bytes, burstBytes)),
  };
}

function defaultBurstBytes(bytes: number | null, burstBytes: number | null): number {
  return burstBytes ?? Math.max(bytes ?? 0, MIN_BURST_BYTES);
}

/** What so many bytes cost. */
export function byteCost(byte: bigint, bytes: number): bigint {
  return byte * BigInt(bytes) >> BYTE_SHIFT;
}

/** `50 packets/s (burst 100) a source, 1000 packets/s in total, ban 600 s` */
export function limitText({ perSource, total, ipv4Prefix, ipv6Prefix, ban, mode }: Limit): string {
  const prefixes = ipv4Prefix === 32 && ipv6Prefix === 64 ? "" : ` (/${ipv4Prefix}, /${ipv6Prefix})`;
  return [
    ...perSource === null ? [] : [`${ratesText(perSource)} a source${prefixes}`],
    ...total === null ? [] : [`${ratesText(total)} in total`],
    ...ban === null ? [] : [`ban ${ban} s`],
    ...mode === "enforce" ? [] : ["only observed"],
  ].join(", ");
}

function ratesText({ packets, burst, bytes, burstBytes }: Rates): string {
  const text = (rate: number | null, most: number | null, unit: string): string[] =>
    rate === null ? [] : [`${rate} ${unit}/s${most === null ? "" : ` (burst ${most})`}`];
  return [...text(packets, burst, "packets"), ...text(bytes, burstBytes, "bytes")].join(" and ");
}
