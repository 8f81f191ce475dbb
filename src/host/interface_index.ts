/**
 * An interface by one of its names.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { type Device, type DeviceTable, listDevices } from "./devices.ts";

/**
 * The interface of a name, which may be an alternative one.
 *
 * @throws {SteerError} with those there are, where there is none of this name.
 */
export function requireInterface(
  name: string,
  devices: Pick<DeviceTable, "byName" | "names"> = listDevices(),
): Device {
  const device = devices.byName(name);
  if (device !== undefined) return device;
  throw new SteerError(`There is no interface "${name}" in this network namespace`, {
    hint: `the interfaces are: ${devices.names.join(", ")}`,
  });
}
