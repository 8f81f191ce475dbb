/**
 * What ethtool(8) knows of an interface, by its ioctls: any user may ask these. For set-up and for looking only.
 *
 * @module
 */
import { interfaceIoctl } from "./libc.ts";
import { MappedMemory } from "./memory.ts";
import {
  ETHTOOL_CHANNELS,
  ETHTOOL_DRVINFO,
  ETHTOOL_GET_FEATURES_BLOCK,
  ETHTOOL_GFEATURES,
  ETHTOOL_GSTRINGS,
  ETHTOOL_SSET_INFO,
  ETHTOOL_VALUE,
  IFREQ,
  UAPI,
} from "./uapi.ts";

/** One offload of an interface. */
export interface Feature {
  readonly active: boolean;
  /** False where the driver has it always on or always off. */
  readonly changeable: boolean;
}

const DRIVER_BYTES = 32;
/** More features than any kernel has: 73 in Linux 6.18. */
const MAX_FEATURES = 512;
const MEMORY_BYTES = ETHTOOL_GSTRINGS.size + MAX_FEATURES * UAPI.ETH_GSTRING_LEN;

/** The kernel's name of the driver, `veth`; "" where it does not say. */
export function driverName(interfaceName: string): string {
  using request = new Request(interfaceName);
  if (!request.send(UAPI.ETHTOOL_GDRVINFO)) return "";
  return request.text(ETHTOOL_DRVINFO.driver, DRIVER_BYTES);
}

/** Whether an interface that is up has a carrier; undefined where the driver does not say. */
export function hasCarrier(interfaceName: string): boolean | undefined {
  using request = new Request(interfaceName);
  return request.send(UAPI.ETHTOOL_GLINK) ? request.view.getUint32(ETHTOOL_VALUE.data, true) !== 0 : undefined;
}

export interface Channels {
  /** Pairs of an rx and a tx queue that are in use. */
  readonly count: number;
  /** As many pairs as there may be. */
  readonly most: number;
  /** rx queues in use, those of pairs among them. */
  readonly rx: number;
}

/** The queues of an interface. Undefined where the driver does not say. */
export function readChannels(interfaceName: string): Channels | undefined {
  using request = new Request(interfaceName);
  if (!request.send(UAPI.ETHTOOL_GCHANNELS)) return undefined;
  const field = (offset: number): number => request.view.getUint32(offset, true);
  const count = field(ETHTOOL_CHANNELS.combined_count);
  return { count, most: field(ETHTOOL_CHANNELS.max_combined), rx: count + field(ETHTOOL_CHANNELS.rx_count) };
}

/** The offloads of an interface by their names in the kernel, `rx-lro`; empty where the kernel does not say. */
export function readFeatures(interfaceName: string): Map<string, Feature> {
  using request = new Request(interfaceName);
  const names = readNames(request);
  const { view } = request;
  const blocks = Math.ceil(names.length / 32);
  view.setUint32(ETHTOOL_GFEATURES.blocks, blocks, true);
  if (names.length === 0 || !request.send(UAPI.ETHTOOL_GFEATURES)) return new Map();
  return new Map(names.map((name, index) => {
    const block = ETHTOOL_GFEATURES.size + (index >> 5) * ETHTOOL_GET_FEATURES_BLOCK.size;
    const bit = (field: number): boolean => ((view.getUint32(block + field, true) >>> (index & 31)) & 1) === 1;
    const changeable = bit(ETHTOOL_GET_FEATURES_BLOCK.available) && !bit(ETHTOOL_GET_FEATURES_BLOCK.never_changed);
    return [name, { active: bit(ETHTOOL_GET_FEATURES_BLOCK.active), changeable }];
  }));
}

/** Names of the features by number; leaves the memory zeroed. */
function readNames(request: Request): string[] {
  const { view } = request;
  view.setBigUint64(ETHTOOL_SSET_INFO.sset_mask, 1n << BigInt(UAPI.ETH_SS_FEATURES), true);
  const count = request.send(UAPI.ETHTOOL_GSSET_INFO) ? view.getUint32(ETHTOOL_SSET_INFO.size, true) : 0;
  request.clear();
  if (count === 0 || count > MAX_FEATURES) return [];
  view.setUint32(ETHTOOL_GSTRINGS.string_set, UAPI.ETH_SS_FEATURES, true);
  view.setUint32(ETHTOOL_GSTRINGS.len, count, true);
  const known = request.send(UAPI.ETHTOOL_GSTRINGS);
  const names = Array.from(
    { length: known ? count : 0 },
    (_, index) => request.text(ETHTOOL_GSTRINGS.size + index * UAPI.ETH_GSTRING_LEN, UAPI.ETH_GSTRING_LEN),
  );
  request.clear();
  return names;
}

/** A request to one interface and the memory of its answer. Every request begins with its command, a u32. */
class Request implements Disposable {
  readonly view: DataView<ArrayBuffer>;
  readonly #memory = MappedMemory.anonymous(MEMORY_BYTES, "ask about an interface");
  readonly #ifreq = new Uint8Array(new ArrayBuffer(IFREQ.size));

  constructor(interfaceName: string) {
    this.view = new DataView(this.#memory.view());
    const name = new TextEncoder().encode(interfaceName).subarray(0, IFREQ.ifr_data - 1);
    this.#ifreq.set(name, IFREQ.ifr_name);
    new DataView(this.#ifreq.buffer).setBigUint64(IFREQ.ifr_data, this.#memory.address.address, true);
  }

  /** @returns False where the kernel or the driver refuses. */
  send(command: number): boolean {
    this.view.setUint32(0, command, true);
    return interfaceIoctl(UAPI.SIOCETHTOOL, this.#ifreq) === 0;
  }

  /** The C string at `offset`, in at most `length` bytes. */
  text(offset: number, length: number): string {
    const bytes = new Uint8Array(this.view.buffer, offset, length);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(bytes.slice(0, end < 0 ? length : end));
  }

  clear(): void {
    new Uint8Array(this.view.buffer).fill(0);
  }

  [Symbol.dispose](): void {
    this.#memory.close();
  }
}
