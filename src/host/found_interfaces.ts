/**
 * The interfaces that a configuration names, and their queues: as a start finds them, and what it would refuse.
 *
 * @module
 */
import { refuseOtherFrames } from "../bpf/link.ts";
import type { InterfaceConfig } from "../config/schema.ts";
import type { Obstacle } from "../config/warnings.ts";
import { EXIT, SteerError } from "../errors.ts";
import { type Device, type DeviceTable, listDevices } from "./devices.ts";
import { requireInterface } from "./interface_index.ts";
import { rxQueues } from "./rx_queues.ts";

export interface FoundInterface {
  readonly device: Device;
  /** Those that are to have sockets. */
  readonly queues: readonly number[];
}

type Names = Pick<DeviceTable, "byName" | "names">;

/**
 * Finds all, before the first is touched.
 *
 * @throws {SteerError} for an interface that is not there, that cannot be steered, or that has two names in the list,
 * and for a queue that is not there.
 */
export function findInterfaces(wanted: readonly InterfaceConfig[], devices: Names): FoundInterface[] {
  const names = new Map<number, string>();
  return wanted.map((config) => findInterface(config, devices, names));
}

/** What {@linkcode findInterfaces} would refuse of a configuration on this machine, with its place. */
export function interfaceObstacles(wanted: readonly InterfaceConfig[]): Obstacle[] {
  const devices = listDevices();
  const names = new Map<number, string>();
  return wanted.flatMap((config, index): Obstacle[] => {
    try {
      findInterface(config, devices, names);
      return [];
    } catch (error) {
      if (!(error instanceof SteerError)) throw error;
      const { message, hint } = error;
      const words = `${message[0]!.toLowerCase()}${message.slice(1)}`;
      const key = error instanceof MissingQueueError ? "queues" : "name";
      return [{ path: ["interfaces", index, key], message: words, ...hint === undefined ? {} : { hint } }];
    }
  });
}

/** @param names Gets the interface, by index. */
function findInterface(config: InterfaceConfig, devices: Names, names: Map<number, string>): FoundInterface {
  const device = requireInterface(config.name, devices);
  const other = names.get(device.ifindex);
  if (other !== undefined) {
    throw new SteerError(`"${other}" and "${config.name}" are names of one interface (index ${device.ifindex})`, {
      hint: "list it once under interfaces",
      exitCode: EXIT.configInvalid,
    });
  }
  names.set(device.ifindex, config.name);
  refuseOtherFrames(config.name);
  return { device, queues: queuesOf(config, device) };
}

class MissingQueueError extends SteerError {}

function queuesOf(config: InterfaceConfig, device: Device): readonly number[] {
  const present = rxQueues(device.name);
  const queues = config.queues === "all" ? present : config.queues;
  const missing = queues.filter((queue) => !present.includes(queue));
  if (missing.length > 0) {
    throw new MissingQueueError(
      `Interface "${config.name}" has no rx queue ${missing.join(", ")}: it has ${present.length} (${
        present.length === 1 ? "0" : `0 to ${present.length - 1}`
      })`,
      { hint: `ethtool -L ${device.name} combined N changes how many there are` },
    );
  }
  return queues;
}
