/**
 * A forward table as the control thread writes it, for tests of what reads it.
 *
 * @module
 */
import { parseAddress, parseMac } from "../../src/packet/address.ts";
import { keepLink } from "../../src/packet/link_header.ts";
import { portInPacket } from "../../src/packet/udp.ts";
import { arrivalBy } from "../../src/steering/arrivals.ts";
import {
  BACKEND,
  BACKEND_IPV6,
  BACKEND_KNOWN,
  BACKEND_REACHABLE,
  backendAt,
  FORWARD,
  forwardAt,
  type ForwardTable,
  indexBackends,
  modeWord,
  usableAt,
} from "../../src/steering/forward_table.ts";
import type { ClientAddress, ForwardMode, PacketSource, Tunnel } from "../../src/steering/forward.ts";
import { fillMaglev } from "../../src/steering/maglev.ts";

const MAGLEV_SIZE = 251;
/** Row of the backend. */
const ROW = 1;

export interface ForwardRuleOptions {
  /** Slot of the rule. */
  readonly rule: number;
  readonly backend: { readonly mac: string; readonly address: string; readonly port: number };
  /** What the box sends from. */
  readonly box: { readonly mac: string; readonly address: string };
  /** Number of the interface that leads to the backend. */
  readonly networkInterface?: number;
  readonly reachable?: boolean;
  /** Seconds. */
  readonly idle?: number;
  readonly mode?: ForwardMode;
  readonly clientAddress?: ClientAddress;
  readonly source?: PacketSource;
  readonly tunnel?: Tunnel;
}

/** Writes one rule with one backend into an empty table, or one that has it. */
export function writeForwardRule(table: ForwardTable, options: ForwardRuleOptions): void {
  const { rule, backend, box, networkInterface = 0, reachable = true, idle = 60, mode = "nat" } = options;
  const isIpv6 = backend.address.includes(":");
  const { backends, forwards, maglev } = table;
  const at = backendAt(ROW);
  const bytes = new DataView(backends.buffer, backends.byteOffset);
  const put = (address: string, word: number): void =>
    new Uint8Array(bytes.buffer, bytes.byteOffset + word * 4).set(parseAddress(address));
  put(backend.address, at + BACKEND.address);
  put(box.address, at + BACKEND.source);
  backends[at + BACKEND.generation] = 1;
  table.usable[usableAt(0) + ROW] = 1;
  backends[at + BACKEND.port] = portInPacket(backend.port);
  backends[at + BACKEND.flags] = BACKEND_KNOWN | (reachable ? BACKEND_REACHABLE : 0) |
    (isIpv6 ? BACKEND_IPV6 : 0);
  backends[at + BACKEND.arrival] = arrivalBy(networkInterface, []);
  backends[at + BACKEND.mtu] = 1500;
  backends[at + BACKEND.linkBytes] = keepLink(bytes, (at + BACKEND.link) * 4, {
    destination: parseMac(backend.mac),
    source: parseMac(box.mac),
    vlan: [],
    etherType: isIpv6 ? 0x86dd : 0x0800,
  });
  indexBackends(table);
  table.forwardOfRule[rule] = 1;
  const words = forwardAt(0);
  forwards[words + (isIpv6 ? FORWARD.maglev6 : FORWARD.maglev4)] = 0;
  forwards[words + (isIpv6 ? FORWARD.size6 : FORWARD.size4)] = MAGLEV_SIZE;
  forwards[words + FORWARD.mode] = modeWord({
    ...{ mode, clientAddress: options.clientAddress ?? "none", source: options.source ?? "box" },
    tunnel: options.tunnel ?? null,
  });
  forwards[words + FORWARD.idle] = idle;
  fillMaglev(maglev.subarray(0, MAGLEV_SIZE), [{ id: ROW, name: backend.address, weight: 1 }]);
}
