/**
 * The kernel's bans, and what the XDP program asks to be banned.
 *
 * @module
 */
import { ERRNO, syscallError } from "../ffi/errno.ts";
import { BpfRingBuffer, deleteElement, lookupElement, updateElement } from "../ffi/libbpf.ts";
import type { Prefix } from "../steering/addresses.ts";
import { BAN_REQUEST, IPV4_BAN, IPV6_BAN } from "./layout.gen.ts";

/** The maps of a program that hold bans. */
export interface BanMaps {
  readonly ipv4Bans: number;
  readonly ipv6Bans: number;
  readonly banRequests: number;
}

/** What is banned: a prefix, from all rules (scope 0) or from that which has the scope. */
export interface KernelBan {
  readonly scope: number;
  readonly prefix: Prefix;
}

/** Where bans are put in force: what {@linkcode BanTable} does, and what tests do without a kernel. */
export interface BanSteering {
  /** @throws {SteerError} when there is no room. */
  add(ban: KernelBan): void;
  remove(ban: KernelBan): void;
  /** Packets that a ban has dropped. */
  packets(ban: KernelBan): number;
}

export class BanTable implements BanSteering {
  constructor(private readonly maps: BanMaps) {}

  add(ban: KernelBan): void {
    const { fd, key } = this.#place(ban);
    const result = updateElement(fd, key, new Uint8Array(8));
    if (result < 0) throw syscallError("bpf_map_update_elem", -result, "ban a source");
  }

  remove(ban: KernelBan): void {
    const { fd, key } = this.#place(ban);
    const result = deleteElement(fd, key);
    if (result < 0 && result !== -ERRNO.ENOENT) throw syscallError("bpf_map_delete_elem", -result, "lift a ban");
  }

  /** Of the longest prefix that covers this one, where this one is not banned itself. */
  packets(ban: KernelBan): number {
    const { fd, key } = this.#place(ban);
    const value = new BigUint64Array(1);
    return lookupElement(fd, key, new Uint8Array(value.buffer)) < 0 ? 0 : Number(value[0]!);
  }

  #place({ scope, prefix: { address, bits } }: KernelBan): { fd: number; key: Uint8Array<ArrayBuffer> } {
    const isIpv4 = address.length === 4;
    const layout = isIpv4 ? IPV4_BAN : IPV6_BAN;
    const key = new Uint8Array(layout.size);
    const view = new DataView(key.buffer);
    view.setUint32(layout.length, 32 + bits, true);
    view.setUint32(layout.scope, scope);
    key.set(address, layout.address);
    return { fd: isIpv4 ? this.maps.ipv4Bans : this.maps.ipv6Bans, key };
  }
}

/** A source that has sent more than its rule allows. */
export interface BanRequest {
  /** Number of the rule's limit. */
  readonly limit: number;
  /** Its address, 4 or 16 bytes. */
  readonly address: Uint8Array;
}

/** What the XDP program asks to be banned, once a second and source. */
export function openBanRequests(maps: BanMaps, onRequest: (request: BanRequest) => void): BpfRingBuffer {
  return new BpfRingBuffer(maps.banRequests, (sample) => {
    const length = sample.getUint32(BAN_REQUEST.family, true) === 4 ? 4 : 16;
    const address = new Uint8Array(sample.buffer, sample.byteOffset + BAN_REQUEST.address, length).slice();
    onRequest({ limit: sample.getUint32(BAN_REQUEST.limit, true), address });
  });
}
