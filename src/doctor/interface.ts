/**
 * An interface as it stands: up, with the queues asked for, and with frames that fit the chunks.
 *
 * @module
 */
import { type InterfaceConfig, XDP_PACKET_HEADROOM } from "../config/schema.ts";
import { driverName, readChannels, readFeatures } from "../ffi/ethtool.ts";
import { rxQueues } from "../engine/interface.ts";
import { type InterfaceCheck, ok, problem, readText, type Verdict, warning } from "./finding.ts";
import { plural } from "../text.ts";

/** Bytes of an Ethernet header, and of the VLAN tags that are looked through. */
const ETHERNET_BYTES = 14;
const VLAN_BYTES = 8;
const LARGE_CHUNK = 4096;
const IFF_UP = 1;

export const INTERFACE_CHECKS: readonly InterfaceCheck[] = [
  { check: "interface.up", explains: ["ENETDOWN"], look: up },
  { check: "interface.driver", explains: [], look: driver },
  { check: "interface.queues", explains: ["EINVAL"], look: queues },
  { check: "interface.queue_pairs", explains: [], look: queuePairs },
  { check: "interface.mtu", explains: ["EINVAL", "ERANGE", "EOPNOTSUPP"], look: mtu },
  { check: "interface.lro", explains: ["EINVAL", "EOPNOTSUPP"], look: lro },
  { check: "interface.gro_hw", explains: ["EINVAL", "EOPNOTSUPP"], look: groHardware },
  { check: "interface.rx_vlan", explains: [], look: rxVlan },
];

/** Whether somebody brought it up. */
export function isUp(name: string): boolean {
  return (Number(readText(`/sys/class/net/${name}/flags`) ?? 0) & IFF_UP) !== 0;
}

/** `virtio_net`; "" where neither the bus nor the driver tells. */
export function driverOf(name: string): string {
  try {
    return Deno.readLinkSync(`/sys/class/net/${name}/device/driver`).split("/").at(-1)!;
  } catch {
    return driverName(name);
  }
}

function up({ name }: InterfaceConfig): Verdict {
  if (!isUp(name)) return problem("the interface is down", `ip link set dev ${name} up`);
  if (readText(`/sys/class/net/${name}/carrier`) === "0") return warning("the interface is up, but has no carrier");
  return ok("the interface is up");
}

function driver({ name }: InterfaceConfig): Verdict {
  const known = driverOf(name);
  return ok(known === "" ? "the driver does not tell its name" : `driver ${known}`);
}

function queues({ name, queues: wanted }: InterfaceConfig): Verdict {
  const present = rxQueues(name);
  const count = plural(present.length, "rx queue");
  if (wanted === "all") return ok(count);
  const missing = wanted.filter((queue) => !present.includes(queue));
  if (missing.length > 0) return problem(`there is no rx queue ${missing.join(", ")}: ${count}`, "queues: all");
  const left = present.filter((queue) => !wanted.includes(queue));
  return left.length === 0 ? ok(count) : warning(
    `${count}, of which queues: leaves out ${left.join(", ")}: what arrives there goes to the kernel stack`,
    "queues: all",
  );
}

/**
 * Whether the driver keeps queue pairs back. virtio_net brings them into use when a program is attached, with packets
 * that nobody serves; sockets bound with zero-copy then send nothing, and the kernel may crash at the second of them.
 */
export function keepsQueuesBack(name: string): boolean {
  const channels = readChannels(name);
  return channels !== undefined && driverOf(name) === "virtio_net" && channels.count < channels.most;
}

function queuePairs({ name }: InterfaceConfig): Verdict | undefined {
  const channels = readChannels(name);
  if (channels === undefined || channels.most === 0) return undefined;
  const { count, most } = channels;
  const text = `${count} of ${most} queue pairs are in use`;
  if (!keepsQueuesBack(name)) return ok(text);
  return warning(
    `${text}: virtio_net adds some with XDP, whose packets are not steered, and zero-copy does not send`,
    `ethtool -L ${name} combined ${most}`,
  );
}

/** A chunk holds the kernel's headroom, the configured one, and the frame; a longer frame is lost. */
function mtu({ name, umem: { chunkSize, headroom } }: InterfaceConfig): Verdict {
  const room = chunkSize - XDP_PACKET_HEADROOM - headroom;
  const size = Number(readText(`/sys/class/net/${name}/mtu`));
  const frame = size + ETHERNET_BYTES;
  const text = `MTU ${size}: frames of up to ${frame} bytes, room for ${room} in a chunk of ${chunkSize}`;
  const inLargeChunk = frame + VLAN_BYTES <= room - chunkSize + LARGE_CHUNK;
  const fix = inLargeChunk
    ? `umem: { chunk_size: ${LARGE_CHUNK}${headroom === 0 ? "" : `, headroom: ${headroom}`} }`
    : `ip link set dev ${name} mtu ${room - ETHERNET_BYTES - VLAN_BYTES}`;
  if (frame > room) return problem(`${text}; longer frames for a listed port are lost`, fix);
  if (frame + VLAN_BYTES > room) return warning(`${text}; with two VLAN tags the longest are lost`, fix);
  return ok(text);
}

function lro(config: InterfaceConfig): Verdict | undefined {
  return merging(config, "rx-lro", "lro");
}

function groHardware(config: InterfaceConfig): Verdict | undefined {
  return merging(config, "rx-gro-hw", "rx-gro-hw");
}

/** Packets merged by the device are longer than a chunk, and most drivers refuse native XDP while they may be. */
function merging({ name, attach }: InterfaceConfig, feature: string, word: string): Verdict | undefined {
  const state = readFeatures(name).get(feature);
  if (state === undefined) return undefined;
  if (!state.active) return ok(`${word} is off`);
  const text = `${word} is on: the device merges packets before XDP, and drivers refuse native XDP for it`;
  if (!state.changeable) return warning(`${text}; it cannot be turned off here`);
  if (driverOf(name) === "virtio_net" && attach !== "generic") {
    return ok(`${word} is on: virtio_net turns it off for the time of native XDP`);
  }
  return warning(text, `ethtool -K ${name} ${word} off`);
}

function rxVlan({ name }: InterfaceConfig): Verdict | undefined {
  const state = readFeatures(name).get("rx-vlan-hw-parse");
  if (state === undefined) return undefined;
  // Its rxvlan changes nothing: a frame's tags are where the other end's txvlan put them.
  if (driverOf(name) === "veth") {
    return ok("a veth brings VLAN tags as its other end sends them: within the frame if txvlan is off there");
  }
  if (!state.active) return ok("VLAN tags stay in the frame");
  return warning(
    "the device strips VLAN tags: XDP sees tagged packets as untagged ones, and answers to them have no tag",
    state.changeable ? `ethtool -K ${name} rxvlan off` : undefined,
  );
}
