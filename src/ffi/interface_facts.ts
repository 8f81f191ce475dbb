/**
 * What netdevice(7) tells of an interface by its name: of this process's network namespace, whichever sysfs is mounted
 * at /sys. Any user may ask.
 *
 * @module
 */
import { interfaceIndex, interfaceIoctl } from "./libc.ts";
import { IFREQ, UAPI } from "./uapi.ts";

export interface InterfaceFacts {
  /** The one that sysfs knows it by: it may have been asked for by an alternative one. */
  readonly name: string;
  /** Somebody brought it up. */
  readonly up: boolean;
  /** It has a carrier; false while it is down. */
  readonly running: boolean;
  readonly mtu: number;
  /** What its frames begin with: `ARPHRD_*`. */
  readonly hardware: number;
  /** Its hardware address, `02:00:00:00:00:01`. */
  readonly address: string;
}

const MAC_BYTES = 6;

/** Undefined where there is no such interface. @param name May be an alternative one. */
export function interfaceFacts(name: string): InterfaceFacts | undefined {
  const properName = interfaceName(interfaceIndex(name));
  const flags = ask(name, UAPI.SIOCGIFFLAGS)?.getUint16(IFREQ.ifr_data, true);
  const mtu = ask(name, UAPI.SIOCGIFMTU)?.getInt32(IFREQ.ifr_data, true);
  const address = ask(name, UAPI.SIOCGIFHWADDR);
  if (properName === undefined || flags === undefined || mtu === undefined || address === undefined) return undefined;
  // A struct sockaddr: its family says what kind of address follows.
  const bytes = new Uint8Array(address.buffer, IFREQ.ifr_data + 2, MAC_BYTES);
  return {
    name: properName,
    up: (flags & UAPI.IFF_UP) !== 0,
    running: (flags & UAPI.IFF_RUNNING) !== 0,
    mtu,
    hardware: address.getUint16(IFREQ.ifr_data, true),
    address: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":"),
  };
}

/** Whether frames of such an interface begin with an Ethernet header. Those of the loopback interface do. */
export function hasEthernetHeaders({ hardware }: Pick<InterfaceFacts, "hardware">): boolean {
  return hardware === UAPI.ARPHRD_ETHER || hardware === UAPI.ARPHRD_LOOPBACK;
}

/** The name of an interface now; undefined where there is none with this index. */
export function interfaceName(ifindex: number): string | undefined {
  const ifreq = new Uint8Array(new ArrayBuffer(IFREQ.size));
  new DataView(ifreq.buffer).setInt32(IFREQ.ifr_data, ifindex, true);
  if (ifindex === 0 || interfaceIoctl(UAPI.SIOCGIFNAME, ifreq) !== 0) return undefined;
  return new TextDecoder().decode(ifreq.slice(IFREQ.ifr_name, ifreq.indexOf(0)));
}

function ask(name: string, request: number): DataView | undefined {
  const ifreq = new Uint8Array(new ArrayBuffer(IFREQ.size));
  ifreq.set(new TextEncoder().encode(name).subarray(0, IFREQ.ifr_data - 1), IFREQ.ifr_name);
  return interfaceIoctl(request, ifreq) === 0 ? new DataView(ifreq.buffer) : undefined;
}
