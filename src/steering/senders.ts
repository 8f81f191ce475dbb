/**
 * Who sends how much, from two readings of the counts that bpf/senders.h keeps.
 *
 * @module
 */
import { formatAddress } from "../packet/address.ts";

/** A place in the counts of one CPU. */
export interface Sender {
  /** 4 bytes of an IPv4 address, or the first 8 of an IPv6 address, in hexadecimal. */
  readonly prefix: string;
  /** Rule slot. */
  readonly rule: number;
  /** At most so many: those of senders that had the place before are among them. */
  readonly packets: number;
  readonly inherited: number;
  /** Of its own packets. */
  readonly bytes: number;
}

/** By set and CPU, in an order that stays: the places that are taken. */
export type SenderReading = readonly (readonly Sender[])[];

export interface SenderRate {
  /** `192.0.2.1` or `2001:db8::/64`: what can be banned. */
  readonly source: string;
  readonly rule: number;
  readonly packets: number;
  readonly bytes: number;
}

export interface SenderRates {
  /** All packets, also those of senders that have no place. */
  readonly packets: number;
  /** Those with the most packets first. */
  readonly senders: readonly SenderRate[];
}

/**
 * What was sent between two readings. Of a sender that has lost its place in between, what it sent before that is not
 * told: packets are never too many.
 */
export function compareSenders(before: SenderReading, now: SenderReading): SenderRates {
  const sums = new Map<string, { packets: number; bytes: number }>();
  let total = 0;
  for (const [at, senders] of now.entries()) {
    const past = before[at] ?? [];
    for (const { packets } of senders) total += packets;
    for (const { packets } of past) total -= packets;
    for (const sender of senders) {
      const own = sender.packets - sender.inherited;
      const was = past.find(({ prefix, rule, inherited }) =>
        prefix === sender.prefix && rule === sender.rule && inherited === sender.inherited
      );
      const packets = was === undefined ? own : own - (was.packets - was.inherited);
      if (packets <= 0) continue;
      const key = `${sender.prefix} ${sender.rule}`;
      const sum = sums.get(key) ?? { packets: 0, bytes: 0 };
      sum.packets += packets;
      sum.bytes += was === undefined ? sender.bytes : sender.bytes - was.bytes;
      sums.set(key, sum);
    }
  }
  const senders = [...sums].sort(([, one], [, other]) => other.packets - one.packets).map(([key, sum]) => {
    const [prefix = "", rule] = key.split(" ");
    return { source: sourceText(prefix), rule: Number(rule), ...sum };
  });
  return { packets: Math.max(0, total), senders };
}

function sourceText(prefix: string): string {
  const bytes = Uint8Array.fromHex(prefix);
  if (bytes.length === 4) return formatAddress(bytes);
  const address = new Uint8Array(16);
  address.set(bytes);
  return `${formatAddress(address)}/64`;
}
