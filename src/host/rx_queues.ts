/**
 * The rx queues and the driver of an interface, and whether /sys may be asked about it.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import { driverName, readChannels } from "../ffi/ethtool.ts";
import { hasEthernetHeaders, interfaceFacts } from "../ffi/interface_facts.ts";
import { interfaceIndex } from "../ffi/libc.ts";
import { readText } from "./question.ts";

/** Has the files of a network namespace's interfaces in it, of the one in which it was mounted. */
const SYSFS = "/sys/class/net";

/** What gives a process the right one. `ip netns exec` does it by itself, `nsenter --net` does not. */
export const SYSFS_FIX = "unshare --mount sh -c 'mount -t sysfs sysfs /sys && exec xdpsteer ...'";

/** The rx queues of an interface. Ascending. */
export function rxQueues(name: string): number[] {
  if (isInOwnSysfs(name)) return queuesInSysfs(properName(name));
  const count = readChannels(name)?.rx ?? 0;
  if (count > 0) return Array.from({ length: count }, (_, queue) => queue);
  throw new SteerError(
    `Cannot list the queues of interface "${name}": /sys is not that of this network namespace, and the driver does ` +
      "not tell",
    { hint: SYSFS_FIX },
  );
}

/**
 * Whether what /sys says of an interface is about this one, and not about one of the same name in another network
 * namespace: a process that joins a namespace keeps the /sys of before.
 */
export function isInOwnSysfs(name: string): boolean {
  const index = interfaceIndex(name);
  const facts = interfaceFacts(name);
  const isThisOne = facts !== undefined && readText(`${SYSFS}/${facts.name}/ifindex`) === `${index}` &&
    (!hasEthernetHeaders(facts) || readText(`${SYSFS}/${facts.name}/address`) === facts.address);
  // What was renamed or deleted meanwhile says nothing against /sys.
  return isThisOne || interfaceFacts(name)?.name !== facts?.name || interfaceIndex(name) !== index;
}

/** The name that sysfs has, of one that may be an alternative one. */
function properName(name: string): string {
  return interfaceFacts(name)?.name ?? name;
}

function queuesInSysfs(name: string): number[] {
  const directory = `${SYSFS}/${name}/queues`;
  try {
    return [...Deno.readDirSync(directory)].flatMap((entry) => /^rx-(\d+)$/.exec(entry.name)?.[1] ?? [])
      .map(Number).sort((left, right) => left - right);
  } catch (cause) {
    throw new SteerError(`Cannot list the queues of interface "${name}": ${messageOf(cause)}`, {
      cause,
      hint: `ls ${directory}`,
    });
  }
}

/** `virtio_net`; "" where neither the bus nor the driver tells. */
export function driverOf(name: string): string {
  try {
    return Deno.readLinkSync(`${SYSFS}/${properName(name)}/device/driver`).split("/").at(-1)!;
  } catch {
    return driverName(name);
  }
}
