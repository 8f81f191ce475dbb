/**
 * The network devices of this network namespace, by their indexes: what they are called now, which come and go, and the
 * addresses that the box has.
 *
 * @module
 */
import { AsyncPoll } from "../ffi/async_poll.ts";
import { messageOf } from "../errors.ts";
import { syscallError } from "../ffi/errno.ts";
import { NetlinkSocket } from "../ffi/netlink.ts";
import type { NetlinkMessage } from "../ffi/netlink_message.ts";
import { NETLINK } from "../ffi/netlink_uapi.ts";
import { UAPI } from "../ffi/uapi.ts";
import { logger } from "../log.ts";
import type { OwnAddresses } from "../steering/addresses.ts";
import { addressesRequest, DeviceAddresses } from "./address_messages.ts";
import { type Link, linkIndex, linksRequest, parseLink } from "./link_messages.ts";
import { ownMacs } from "./own_macs.ts";

const GROUPS = [NETLINK.RTNLGRP_LINK, NETLINK.RTNLGRP_IPV4_IFADDR, NETLINK.RTNLGRP_IPV6_IFADDR];

/** A device, from when it comes into this namespace until it leaves. */
export interface Device extends Link {
  /** Never the same for two devices, also where one has the index of another before it. */
  readonly arrival: number;
}

/** Dumps that are interrupted are tried again. */
const MAX_DUMPS = 5;
/** After a failure that nothing but time can help. */
const RETRY_MS = 1000;
/** A wait that nothing ends goes on after this time. */
const FOR_LONG_MS = 60_000;
const LIST = "list the network devices";
const LIST_ADDRESSES = "list the addresses of this machine";

const log = logger("devices");

/** Devices as the kernel has told of them, message by message. */
export class DeviceTable {
  readonly #devices = new Map<number, Device>();
  readonly addresses = new DeviceAddresses();
  #arrivals = 0;

  /** Takes note of a message. @returns True where it is about a device, or an address of one. */
  apply(message: NetlinkMessage): boolean {
    const { type, body } = message;
    if (this.addresses.apply(message) !== undefined) return true;
    if (type === NETLINK.RTM_DELLINK) {
      const ifindex = linkIndex(body);
      return ifindex !== undefined && this.#devices.delete(ifindex);
    }
    const link = type === NETLINK.RTM_NEWLINK ? parseLink(body) : undefined;
    if (link === undefined) return false;
    const arrival = this.#devices.get(link.ifindex)?.arrival ?? ++this.#arrivals;
    this.#devices.set(link.ifindex, { ...link, arrival });
    return true;
  }

  /** Forgets devices that are not among these. */
  retain(ifindexes: ReadonlySet<number>): void {
    for (const ifindex of this.#devices.keys()) if (!ifindexes.has(ifindex)) this.#devices.delete(ifindex);
  }

  byIndex(ifindex: number): Device | undefined {
    return this.#devices.get(ifindex);
  }

  /** The device that has this name, or else the one that has it as an alternative name. */
  byName(name: string): Device | undefined {
    const devices = [...this.#devices.values()];
    return devices.find((device) => device.name === name) ?? devices.find(({ altNames }) => altNames.includes(name));
  }

  get all(): readonly Device[] {
    return [...this.#devices.values()];
  }

  /** Names of all, without alternative ones. */
  get names(): string[] {
    return [...this.#devices.values()].map(({ name }) => name).sort();
  }
}

/** Where devices are looked up: {@linkcode Devices}, and what tests make up. */
export interface DeviceSource {
  byIndex(ifindex: number): Device | undefined;
  byName(name: string): Device | undefined;
}

/** The devices there are now. */
export function listDevices(): DeviceTable {
  using socket = new NetlinkSocket();
  const table = new DeviceTable();
  dump(socket, table);
  return table;
}

function dump(socket: NetlinkSocket, table: DeviceTable): void {
  for (let left = MAX_DUMPS; left > 0; left--) {
    const seen = new Set<number>();
    const { errno, interrupted } = socket.request(linksRequest(), LIST, (message) => {
      table.apply(message);
      seen.add(linkIndex(message.body) ?? 0);
    });
    if (errno !== 0) throw syscallError("netlink dump", errno, LIST);
    table.retain(seen);
    if (!interrupted) return;
  }
}

function dumpAddresses(socket: NetlinkSocket, { addresses }: DeviceTable): void {
  for (let left = MAX_DUMPS; left > 0; left--) {
    const seen = new Set<string>();
    const { errno, interrupted } = socket.request(addressesRequest(), LIST_ADDRESSES, (message) => {
      seen.add(addresses.apply(message) ?? "");
    });
    if (errno !== 0) throw syscallError("netlink dump", errno, LIST_ADDRESSES);
    addresses.retain(seen);
    if (!interrupted) return;
  }
}

/** The devices of the network namespace that the process is in, followed. */
export class Devices implements DeviceSource, Disposable {
  readonly #table = new DeviceTable();
  readonly #requests: NetlinkSocket;
  readonly #events: NetlinkSocket;
  #poll: AsyncPoll | undefined;
  readonly #followers: (() => void)[] = [];
  #disposed = false;

  /** Takes no privilege. @throws {SyscallError} */
  constructor() {
    using opened = new DisposableStack();
    // Subscribed first, so that nothing can change unnoticed after it was listed.
    this.#events = opened.use(new NetlinkSocket(GROUPS));
    this.#requests = opened.use(new NetlinkSocket());
    dump(this.#requests, this.#table);
    dumpAddresses(this.#requests, this.#table);
    opened.move();
  }

  byIndex(ifindex: number): Device | undefined {
    this.#catchUp();
    return this.#table.byIndex(ifindex);
  }

  byName(name: string): Device | undefined {
    this.#catchUp();
    return this.#table.byName(name);
  }

  get names(): string[] {
    return this.#table.names;
  }

  /** The box's addresses. */
  get own(): OwnAddresses {
    this.#catchUp();
    return this.#table.addresses.own;
  }

  /** The Ethernet addresses that are the box's own in frames that come by a device; none where it has none. */
  macsOf(device: Device): readonly Uint8Array[] {
    return ownMacs(device, this.#table.all);
  }

  /** Calls `changed` whenever the kernel has told of a device or an address, until it is disposed of. */
  follow(changed: () => void): void {
    this.#followers.push(changed);
    if (this.#poll !== undefined) return;
    this.#poll = new AsyncPoll();
    void this.#follow(this.#poll);
  }

  /** For a look-up. What it reads may not have woken the poll yet, and wakes it no more: followers are to be called. */
  #catchUp(): void {
    if (this.#read()) this.#poll?.wake();
  }

  /** Takes in what the kernel has told since the last time. @returns True where that was about a device or address. */
  #read(): boolean {
    let changed = false;
    for (let messages; (messages = this.#events.receive()) !== undefined;) {
      if (messages === "overrun") {
        dump(this.#requests, this.#table);
        dumpAddresses(this.#requests, this.#table);
        changed = true;
      } else for (const message of messages) changed = this.#table.apply(message) || changed;
    }
    return changed;
  }

  async #follow(poll: AsyncPoll): Promise<void> {
    const events = [{ fd: this.#events.fd, events: UAPI.POLLIN }];
    while (!this.#disposed) {
      await poll.wait(events, FOR_LONG_MS);
      if (this.#disposed) break;
      try {
        this.#read();
        for (const changed of this.#followers) changed(); // also for what a look-up has read
      } catch (error) {
        log.error("Cannot follow the network devices: {error}", { error: messageOf(error) });
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    poll[Symbol.dispose]();
    this.#events.close();
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#requests.close();
    if (this.#poll === undefined) this.#events.close();
    else this.#poll.wake(); // ends the following, which closes its socket
  }
}
