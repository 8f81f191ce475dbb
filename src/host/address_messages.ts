/**
 * What rtnetlink says of the addresses of network devices, and which of them are the box's own. No socket here.
 *
 * @module
 */
import { attributesIn, encodeMessage, type NetlinkMessage, u32Of, viewOf } from "../ffi/netlink_message.ts";
import { IFADDRMSG, NETLINK } from "../ffi/netlink_uapi.ts";
import type { OwnAddresses } from "../steering/addresses.ts";

/** An address of a device. */
interface DeviceAddress {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly prefixLength: number;
  /** As it was set. */
  readonly broadcast: Uint8Array | undefined;
  /** False while the kernel does not know yet that nobody else has it. */
  readonly usable: boolean;
}

/** IPv4 networks of this prefix length or longer have no broadcast address. */
const NO_BROADCAST_FROM = 31;

/** The addresses of all devices as the kernel has told of them, message by message. */
export class DeviceAddresses {
  readonly #addresses = new Map<string, DeviceAddress>();

  /** Takes note of a message. @returns The key of the address, where it is about one. */
  apply({ type, body }: NetlinkMessage): string | undefined {
    if (type !== NETLINK.RTM_NEWADDR && type !== NETLINK.RTM_DELADDR) return undefined;
    if (body.length < IFADDRMSG.size) return undefined;
    const attributes = attributesIn(body, IFADDRMSG.size);
    // Of a point-to-point link, IFA_ADDRESS is the other end.
    const address = attributes.get(NETLINK.IFA_LOCAL) ?? attributes.get(NETLINK.IFA_ADDRESS);
    if (address === undefined || (address.length !== 4 && address.length !== 16)) return undefined;
    const prefixLength = body[IFADDRMSG.ifa_prefixlen]!;
    const key = `${viewOf(body).getUint32(IFADDRMSG.ifa_index, true)} ${address.toHex()}/${prefixLength}`;
    if (type === NETLINK.RTM_DELADDR) {
      this.#addresses.delete(key);
      return key;
    }
    const flags = u32Of(attributes.get(NETLINK.IFA_FLAGS)) || body[IFADDRMSG.ifa_flags]!;
    const { IFA_F_DADFAILED, IFA_F_OPTIMISTIC, IFA_F_TENTATIVE } = NETLINK;
    const usable = (flags & IFA_F_DADFAILED) === 0 &&
      (flags & (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC)) !== IFA_F_TENTATIVE;
    const broadcast = attributes.get(NETLINK.IFA_BROADCAST)?.slice();
    this.#addresses.set(key, { address: address.slice(), prefixLength, broadcast, usable });
    return key;
  }

  /** Forgets addresses that are not among these. */
  retain(keys: ReadonlySet<string>): void {
    for (const key of this.#addresses.keys()) if (!keys.has(key)) this.#addresses.delete(key);
  }

  /** What is the box's own now, each once and in one order, so that equal sets are equal. */
  get own(): OwnAddresses {
    const own = new Map<string, Uint8Array>();
    const broadcasts = new Map<string, Uint8Array>();
    for (const { address, broadcast, prefixLength, usable } of this.#addresses.values()) {
      if (!usable || isLoopback(address)) continue;
      own.set(address.toHex(), address);
      const all = [broadcast, broadcastOf(address, prefixLength)].filter((each) => each !== undefined);
      for (const each of all) broadcasts.set(each.toHex(), each);
    }
    const inOrder = (addresses: ReadonlyMap<string, Uint8Array>): Uint8Array[] =>
      [...addresses].sort(([one], [other]) => one < other ? -1 : 1).map(([, address]) => address);
    return { own: inOrder(own), broadcasts: inOrder(broadcasts) };
  }
}

function isLoopback(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] === 127;
  return address.subarray(0, 15).every((byte) => byte === 0) && address[15] === 1;
}

/** The last address of an IPv4 network, to which the kernel sends and from which it takes nothing. */
function broadcastOf(address: Uint8Array, prefixLength: number): Uint8Array | undefined {
  if (address.length !== 4 || prefixLength >= NO_BROADCAST_FROM) return undefined;
  return address.map((byte, at) =>
    byte | (prefixLength >= 8 * at + 8 ? 0 : 0xff >> Math.max(0, prefixLength - 8 * at))
  );
}

/** Asks for the addresses of all devices. */
export function addressesRequest(): Uint8Array<ArrayBuffer> {
  const flags = NETLINK.NLM_F_REQUEST | NETLINK.NLM_F_DUMP;
  return encodeMessage(NETLINK.RTM_GETADDR, flags, new Uint8Array(IFADDRMSG.size));
}
