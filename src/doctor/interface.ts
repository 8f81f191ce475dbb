/**
 * An interface as it stands: up, with the queues asked for, and with tags in its frames.
 *
 * @module
 */
import type { InterfaceConfig } from "../config/schema.ts";
import { hasCarrier, readChannels, readFeatures } from "../ffi/ethtool.ts";
import { interfaceFacts } from "../ffi/interface_facts.ts";
import { type InterfaceCheck, ok, problem, type Verdict, warning } from "../host/question.ts";
import { driverOf, rxQueues } from "../host/rx_queues.ts";
import { plural } from "../text.ts";

export const INTERFACE_CHECKS: readonly InterfaceCheck[] = [
  { check: "interface.up", explains: ["ENETDOWN"], look: up },
  { check: "interface.driver", explains: [], look: driver },
  { check: "interface.queues", explains: ["EINVAL"], look: queues },
  { check: "interface.queue_pairs", explains: [], look: queuePairs },
  { check: "interface.rx_vlan", explains: [], look: rxVlan },
];

/** Whether somebody brought it up. */
export function isUp(name: string): boolean {
  return interfaceFacts(name)?.up === true;
}

function up({ name }: InterfaceConfig): Verdict {
  if (!isUp(name)) return problem("the interface is down", `ip link set dev ${name} up`);
  if (hasCarrier(name) === false) return warning("the interface is up, but has no carrier");
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
