/**
 * One direction of a session at a time, for what holds for packets to backends and for answers alike.
 *
 * @module
 */
import assert from "node:assert/strict";
import { parseAddress } from "../../src/packet/address.ts";
import { arrivalBy } from "../../src/steering/arrivals.ts";
import {
  addWords,
  buildFrame,
  type FrameOptions,
  internetChecksum,
  PROTOCOL,
  pseudoHeaderSum,
} from "../../src/traffic/frames.ts";
import { Bench, type BenchOptions, bytesOf, type Family, fromBackend, fromClient } from "./forward_packets.ts";

export const BOTH = ["IPv4", "IPv6"] as const;
export const DIRECTIONS = ["toBackend", "toClient"] as const;
export type Direction = typeof DIRECTIONS[number];
export const SERVED = { toBackend: "forwarded", toClient: "returned" } as const;
/** Bytes of the IP and UDP headers. */
export const HEADERS = { IPv4: 28, IPv6: 48 } as const;
/** Clients are behind interface 0, backends behind 1. */
export const [CLIENTS, BACKENDS] = [0, 1];

/** One direction of a session: its sender's packets, with whatever is changed of them. */
export class Way {
  readonly bench: Bench;
  readonly from: number;

  constructor(readonly family: Family, readonly direction: Direction, options: BenchOptions = {}) {
    this.bench = new Bench({ interface: BACKENDS, mtu: 1500, ...options });
    this.from = direction === "toBackend" ? CLIENTS : options.interface ?? BACKENDS;
    this.bench.setMtus([{ arrival: arrivalBy(CLIENTS, []), mtu: 1500 }, {
      arrival: arrivalBy(BACKENDS, []),
      mtu: 1500,
    }]);
    assert.equal(this.bench.pass("toBackend", bytesOf(fromClient(family)), CLIENTS).fate, "forwarded");
    this.bench.elsewhere.length = 0;
  }

  packet(more: Partial<FrameOptions> = {}): FrameOptions {
    return this.direction === "toBackend" ? fromClient(this.family, more) : fromBackend(this.family, this.bench, more);
  }

  pass(more: Partial<FrameOptions> = {}, from = this.from): ReturnType<Bench["pass"]> {
    return this.bench.pass(this.direction, bytesOf(this.packet(more)), from);
  }

  /** A packet whose IP packet has this size. */
  sized(ipBytes: number): Partial<FrameOptions> {
    return { payload: new Uint8Array(ipBytes - HEADERS[this.family]).fill(7) };
  }

  /** Makes the way out narrower than 1500 bytes. */
  narrow(mtu: number): void {
    if (this.direction === "toClient") this.bench.setMtus([{ arrival: arrivalBy(CLIENTS, []), mtu }]);
    else this.bench.setMtu(mtu);
  }

  /** What the sender should be told about its packet. */
  error(more: Partial<FrameOptions>, error: "tooBig" | "hopsExceeded", mtu = 0): Uint8Array {
    const packet = this.packet(more);
    const { source, destination, vlans = [] } = packet;
    const { bytes, ipAt, endAt } = buildFrame(packet);
    const isIpv4 = this.family === "IPv4";
    const quoted = bytes.subarray(ipAt, isIpv4 ? ipAt + HEADERS.IPv4 : Math.min(endAt, ipAt + 1232));
    const [type, code] = { tooBig: isIpv4 ? [3, 4] : [2, 0], hopsExceeded: isIpv4 ? [11, 0] : [3, 0] }[error];
    const icmp = new Uint8Array([type!, code!, 0, 0, 0, 0, mtu >> 8, mtu & 0xff, ...quoted]);
    const [from, to] = [parseAddress(destination.address), parseAddress(source.address)];
    const pseudo = isIpv4 ? 0 : pseudoHeaderSum(from, to, icmp.length) - PROTOCOL.udp + PROTOCOL.icmpv6;
    new DataView(icmp.buffer).setUint16(2, internetChecksum(addWords(icmp, pseudo)));
    return bytesOf({
      source: destination,
      destination: source,
      vlans,
      protocol: isIpv4 ? PROTOCOL.icmp : PROTOCOL.icmpv6,
      payload: icmp,
    });
  }
}
