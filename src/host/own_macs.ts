/**
 * Which Ethernet addresses are the box's own in frames that come by a device.
 *
 * @module
 */
import type { Link } from "./link_messages.ts";

/** Kinds of devices that take frames for addresses of their own from the device below them. */
const STACKED: ReadonlySet<string> = new Set(["vlan", "macvlan"]);
/** Kinds of masters that take the frames of their members. */
const MASTERS: ReadonlySet<string> = new Set(["bridge", "bond", "team"]);

/**
 * The address of a device, and those of the devices on top of it in this network namespace: VLANs, macvlans, a bridge
 * or bond that it is in, and what is on top of these. Not those of a macvtap, whose frames are for a virtual machine.
 *
 * @param links All devices.
 * @returns Each once, the device's own first; none where it has none, since frames have none then.
 */
export function ownMacs(device: Link, links: readonly Link[]): readonly Uint8Array[] {
  if (device.mac === undefined) return [];
  const found = new Set<Link>([device]);
  for (const below of found) { // grows while it is walked
    for (const link of links) {
      const isAbove = link.lower === below.ifindex && STACKED.has(link.kind) ||
        below.master === link.ifindex && MASTERS.has(link.kind);
      if (isAbove) found.add(link);
    }
  }
  const macs = new Map([...found].flatMap(({ mac }) => mac === undefined ? [] : [[mac.toHex(), mac] as const]));
  return [...macs.values()];
}
