/**
 * A forwarder over plain memory, a packet at a time: two backends of each IP version, and frames there and back.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Forwarder } from "../../src/dataplane/forward.ts";
import { parseAddress, parseMac } from "../../src/packet/address.ts";
import { keepLink } from "../../src/packet/link_header.ts";
import { portInPacket, readUdp, UdpPacket } from "../../src/packet/udp.ts";
import { ACTION_TABLE } from "../../src/steering/action.ts";
import { arrivalBy, writeArrivals } from "../../src/steering/arrivals.ts";
import { type Fate, FATES } from "../../src/steering/fate.ts";
import type { ClientAddress, ForwardMode, PacketSource, Tunnel } from "../../src/steering/forward.ts";
import {
  BACKEND,
  BACKEND_IPV6,
  BACKEND_KNOWN,
  BACKEND_REACHABLE,
  backendAt,
  createForwardTables,
  FORWARD,
  forwardAt,
  type ForwardTable,
  indexBackends,
  modeWord,
  usableAt,
  viewForwardTables,
} from "../../src/steering/forward_table.ts";
import { fillMaglev } from "../../src/steering/maglev.ts";
import { SESSION } from "../../src/steering/session_row.ts";
import { buildFrame, type FrameOptions } from "../../src/traffic/frames.ts";

/** Slot of the rule that forwards. */
export const RULE = 3;
const AT = 256;
export const CLIENT_MAC = "02:00:00:00:00:01";
export const BOX_MAC = "02:00:00:00:00:02";
export const BACKEND_MAC = "02:00:00:00:00:03";
export const FAMILIES = {
  IPv4: { client: "10.1.2.3", service: "10.1.2.4", box: "10.9.0.1", backends: ["10.9.0.11", "10.9.0.12"] },
  IPv6: { client: "fd00::1:2", service: "fd00::2:3", box: "fd09::1", backends: ["fd09::11", "fd09::12"] },
} as const;
export type Family = keyof typeof FAMILIES;
export const BACKEND_PORT = 9000;
const MAGLEV_SIZE = 251;

export interface BenchOptions {
  readonly mode?: ForwardMode;
  readonly capacity?: number;
  readonly portCount?: number;
  readonly vlans?: readonly { protocol: number; id: number }[];
  readonly interface?: number;
  readonly mtu?: number;
  readonly remapPort?: number;
  readonly clientAddress?: ClientAddress;
  readonly source?: PacketSource;
  readonly tunnel?: Tunnel;
  readonly anyArrival?: boolean;
}

/** A forwarder whose rule has two backends of each family. */
export class Bench {
  readonly table: ForwardTable;
  readonly forwarder: Forwarder;
  readonly elsewhere: { networkInterface: number; bytes: Uint8Array }[] = [];
  room = true;
  isOpen = true;
  largest = 1 << 30;

  constructor({ mode = "nat", capacity = 64, portCount = 50, vlans = [], mtu = 1500, ...options }: BenchOptions = {}) {
    const [table] = viewForwardTables(createForwardTables(16), 16);
    this.table = table!;
    this.table.forwardOfRule[RULE] = 1;
    const bytes = new DataView(this.table.backends.buffer, this.table.backends.byteOffset);
    let row = 0;
    for (const [family, { box, backends }] of Object.entries(FAMILIES)) {
      for (const address of backends) {
        const at = backendAt(row++);
        new Uint8Array(bytes.buffer, bytes.byteOffset + at * 4).set(parseAddress(address));
        new Uint8Array(bytes.buffer, bytes.byteOffset + (at + BACKEND.source) * 4).set(parseAddress(box));
        this.table.backends[at + BACKEND.generation] = 1;
        this.table.usable[usableAt(0) + row - 1] = 1;
        this.table.backends[at + BACKEND.port] = portInPacket(BACKEND_PORT);
        this.table.backends[at + BACKEND.flags] = BACKEND_KNOWN | BACKEND_REACHABLE |
          (family === "IPv6" ? BACKEND_IPV6 : 0);
        this.table.backends[at + BACKEND.arrival] = arrivalBy(options.interface ?? 0, vlans);
        this.table.backends[at + BACKEND.mtu] = mtu;
        this.table.backends[at + BACKEND.linkBytes] = keepLink(bytes, (at + BACKEND.link) * 4, {
          destination: parseMac(BACKEND_MAC),
          source: parseMac(BOX_MAC),
          vlan: vlans,
          etherType: family === "IPv6" ? 0x86dd : 0x0800,
        });
      }
    }
    indexBackends(this.table);
    const words = forwardAt(0);
    this.table.forwards[words + FORWARD.maglev4] = 0;
    this.table.forwards[words + FORWARD.size4] = MAGLEV_SIZE;
    this.table.forwards[words + FORWARD.maglev6] = MAGLEV_SIZE;
    this.table.forwards[words + FORWARD.size6] = MAGLEV_SIZE;
    this.table.forwards[words + FORWARD.idle] = 60;
    this.table.forwards[words + FORWARD.mode] = modeWord({
      ...{ mode, clientAddress: options.clientAddress ?? "none", source: options.source ?? "box" },
      tunnel: options.tunnel ?? null,
    });
    const { remapPort = 0 } = options;
    this.table.forwards[words + FORWARD.remapPort] = portInPacket(remapPort);
    this.choose([0, 1], [2, 3]);
    this.setMtus([]);
    const send = (networkInterface: number, view: DataView, addr: number, length: number): boolean => {
      if (this.room) {
        this.elsewhere.push({ networkInterface, bytes: new Uint8Array(view.buffer).slice(addr, addr + length) });
      }
      return this.room;
    };
    const largest = (): number => this.largest;
    const key = { low: 7, high: 8 };
    const { anyArrival = false } = options;
    const sessions = { capacity, firstPort: 20000, portCount, key, ruleSlots: 16, anyArrival };
    this.forwarder = new Forwarder(this.table, { largest, isOpen: () => this.isOpen, send }, sessions);
  }

  /** Lets new flows go to these rows only. */
  choose(...rows: number[][]): void {
    rows.forEach((ids, family) => {
      const part = this.table.maglev.subarray(family * MAGLEV_SIZE, (family + 1) * MAGLEV_SIZE);
      fillMaglev(part, ids.map((id) => ({ id, name: `b${id}`, weight: 1 })));
    });
  }

  /** What the kernel says of the interfaces, and of VLANs on them. */
  setMtus(mtus: readonly { readonly arrival: number; readonly mtu: number }[]): void {
    const backends = [0, 1, 2, 3].map((row) => this.table.backends[backendAt(row) + BACKEND.arrival]!);
    writeArrivals(this.table.arrivals, mtus, backends);
  }

  /** What the kernel says of the way to the backends. */
  setMtu(mtu: number): void {
    for (const row of [0, 1, 2, 3]) this.table.backends[backendAt(row) + BACKEND.mtu] = mtu;
  }

  /** Sessions may not go on with a backend. */
  unuse(row: number): void {
    this.table.usable[usableAt(0) + row] = 0;
  }

  setFlags(row: number, change: (flags: number) => number): void {
    const at = backendAt(row) + BACKEND.flags;
    this.table.backends[at] = change(this.table.backends[at]!);
  }

  /** Puts a frame in and takes out what becomes of it. */
  pass(
    direction: "toBackend" | "toClient",
    frame: Uint8Array,
    from = 0,
  ): { fate: string; bytes: Uint8Array | undefined } {
    const memory = new Uint8Array(4096);
    memory.set(frame, AT);
    const view = new DataView(memory.buffer);
    const packet = new UdpPacket();
    assert.ok(readUdp(view, AT, frame.byteLength, packet));
    const { forwarder } = this;
    const fate = direction === "toBackend"
      ? forwarder.toBackend(view, packet, RULE, from, frame.byteLength, true)
      : forwarder.toClient(view, packet, from, frame.byteLength, true);
    const bytes = forwarder.sendsBack ? memory.slice(forwarder.addr, forwarder.addr + forwarder.length) : undefined;
    const { fates }: { readonly fates: readonly Fate[] } =
      ACTION_TABLE[direction === "toBackend" ? "forward" : "answer"];
    assert.ok(fates.includes(FATES[fate]!), `${FATES[fate]} is not among the fates in steering/action.ts`);
    return { fate: FATES[fate]!, bytes };
  }

  /** Where the only session, or the one of the last client's packet, sends its packets. */
  session(index = 0): { port: number; backend: number } {
    const { words } = this.forwarder.sessions;
    return { port: words[index * 32 + SESSION.translationPort]!, backend: words[index * 32 + SESSION.backend]! };
  }
}

/** A client's packet. */
export const fromClient = (family: Family, more: Partial<FrameOptions> = {}, port = 40000): FrameOptions => ({
  source: { mac: CLIENT_MAC, address: FAMILIES[family].client, port },
  destination: { mac: BOX_MAC, address: FAMILIES[family].service, port: 8080 },
  payload: new TextEncoder().encode("a request"),
  ...more,
});

export const addressOf = (row: number): string => [...FAMILIES.IPv4.backends, ...FAMILIES.IPv6.backends][row]!;

/** What the backend should see. */
export const atBackend = (
  family: Family,
  sent: FrameOptions,
  bench: Bench,
  vlans: FrameOptions["vlans"] = [],
): FrameOptions => ({
  ...sent,
  vlans,
  hops: (sent.hops ?? 64) - 1,
  source: { mac: BOX_MAC, address: FAMILIES[family].box, port: bench.session().port },
  destination: { mac: BACKEND_MAC, address: addressOf(bench.session().backend), port: BACKEND_PORT },
});

/** The backend's answer to the only session's packet. */
export const fromBackend = (family: Family, bench: Bench, more: Partial<FrameOptions> = {}): FrameOptions => {
  const { source, destination } = atBackend(family, fromClient(family), bench);
  return { source: destination, destination: source, payload: new TextEncoder().encode("an answer"), ...more };
};

export const bytesOf = (options: FrameOptions): Uint8Array => buildFrame(options).bytes;
