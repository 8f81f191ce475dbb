/**
 * What of an interface decides whether packets of listed ports get lost, or are not the packets that were sent: asked
 * by the doctor and at every start.
 *
 * @module
 */
import { type InterfaceConfig, XDP_PACKET_HEADROOM } from "../config/schema.ts";
import { readFeatures } from "../ffi/ethtool.ts";
import { hasEthernetHeaders, interfaceFacts } from "../ffi/interface_facts.ts";
import { type Circumstances, type InterfaceCheck, ok, problem, type Verdict, warning } from "./question.ts";
import { driverOf, isInOwnSysfs, SYSFS_FIX } from "./rx_queues.ts";
import { lowerDevices, upperBond } from "./stacking.ts";

/** Bytes of an Ethernet header, and of the VLAN tags that are looked through. */
const ETHERNET_BYTES = 14;
const VLAN_BYTES = 8;
const LARGE_CHUNK = 4096;

/** In the order in which people read them. */
export const LOSS_CHECKS: readonly InterfaceCheck[] = [
  { check: "interface.link_layer", explains: [], look: linkLayer },
  { check: "interface.sysfs", explains: [], look: sysfs },
  { check: "interface.mtu", explains: ["EINVAL", "ERANGE", "EOPNOTSUPP"], look: mtu },
  { check: "interface.lro", explains: ["EINVAL", "EOPNOTSUPP"], look: (config) => merging(config, "rx-lro", "lro") },
  {
    check: "interface.gro_hw",
    explains: ["EINVAL", "EOPNOTSUPP"],
    look: (config) => merging(config, "rx-gro-hw", "rx-gro-hw"),
  },
  { check: "interface.gro", explains: [], look: groSoftware },
  { check: "interface.segments", explains: [], look: segments },
  { check: "interface.stacking", explains: [], look: stacking },
];

/** XdpLink.attach() refuses what this finds. */
function linkLayer({ name }: InterfaceConfig): Verdict | undefined {
  const facts = interfaceFacts(name);
  if (facts === undefined) return undefined;
  if (hasEthernetHeaders(facts)) return ok("its packets begin with an Ethernet header");
  return problem(
    `its packets have no Ethernet header (link type ${facts.hardware}), and a start is refused`,
    "ip -o link | grep link/ether, which lists the interfaces that can be steered",
  );
}

function sysfs({ name }: InterfaceConfig): Verdict {
  if (isInOwnSysfs(name)) return ok("/sys is that of this network namespace");
  return warning(
    "/sys is not that of this network namespace: the queues are those that the driver tells of, the rest is not known",
    SYSFS_FIX,
  );
}

/** A chunk holds the kernel's headroom, the configured one, and the frame; a longer frame is lost. */
function mtu({ name, umem: { chunkSize, headroom } }: InterfaceConfig): Verdict | undefined {
  const size = interfaceFacts(name)?.mtu;
  if (size === undefined) return undefined;
  const room = chunkSize - XDP_PACKET_HEADROOM - headroom;
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

/** Generic XDP comes after GRO, native before. */
function groSoftware({ name, attach }: InterfaceConfig): Verdict | undefined {
  if (attach !== "generic") return undefined;
  if (readFeatures(name).get("rx-gro")?.active !== true) return ok("GRO is off: no packets are merged before XDP");
  return warning(
    "GRO is on: in generic mode XDP may see several datagrams as one packet, which is answered as one, or lost if it " +
      "is larger than a chunk",
    `ethtool -K ${name} gro off`,
  );
}

/** Drivers of devices that hand over a packet as its sender made it, with the device whose setting decides. */
const HANDS_OVER: Readonly<Record<string, string>> = {
  veth: "PEER",
  macvlan: "SENDER",
  bridge: "SENDER",
  tun: "SENDER",
};

/** A sender with UDP_SEGMENT leaves it to its device to cut, and a virtual device leaves it to the receiver. */
function segments({ name, attach }: InterfaceConfig): Verdict | undefined {
  if (attach !== "generic") return undefined;
  const isLoopback = interfaceFacts(name)?.address === "00:00:00:00:00:00";
  const sender = isLoopback ? name : HANDS_OVER[driverOf(name)];
  if (sender === undefined) return undefined;
  const cuts = readFeatures(name).get("tx-udp-segmentation")?.active === false;
  if (isLoopback && cuts) return ok("datagrams of senders with UDP_SEGMENT are cut before XDP");
  const where = isLoopback ? "" : `, where ${sender} is the device that they are sent by`;
  return warning(
    "in generic mode XDP sees the datagrams of a sender with UDP_SEGMENT as one packet, which is answered as one, or " +
      "lost if it is larger than a chunk",
    `ethtool -K ${sender} tx-udp-segmentation off${where}`,
  );
}

function stacking({ name: any, attach }: InterfaceConfig, { interfaces }: Circumstances): Verdict | undefined {
  if (!isInOwnSysfs(any)) return undefined;
  const { name } = interfaceFacts(any)!;
  const bond = upperBond(name);
  if (bond !== undefined) {
    const left = bond.members.filter((member) => !interfaces.some((other) => other.name === member));
    if (left.length === 0) return ok(`all members of ${bond.name} are steered`);
    return warning(
      `it is a member of ${bond.name}: what arrives by ${left.join(", ")} is not steered`,
      `interfaces: [${bond.members.map((member) => `{ name: ${member} }`).join(", ")}]`,
    );
  }
  const lower = lowerDevices(name);
  if (lower === undefined) return undefined;
  const members = `interfaces: [${lower.devices.map((device) => `{ name: ${device} }`).join(", ")}]`;
  if (lower.kind === "vlan") {
    return warning(
      `it is a VLAN device on ${lower.devices.join()}: it has no native XDP, and packets of the parent are steered ` +
        "with their tags",
      members,
    );
  }
  if (attach === "generic") return ok(`it is a bond of ${lower.devices.join(", ")}`);
  return warning(
    `it is a bond: in native mode its packets belong to its members (${lower.devices.join(", ")}), whose sockets it ` +
      "does not have",
    members,
  );
}
