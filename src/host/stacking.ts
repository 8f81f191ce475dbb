/**
 * Devices on top of others, by sysfs: bonds with their members, VLAN devices with their parent.
 *
 * @module
 */
import { basename } from "node:path";
import { readText } from "./question.ts";

const SYSFS = "/sys/class/net";

/** The bond that a device is a member of, with all its members; undefined where there is none. */
export function upperBond(
  name: string,
  sysfs = SYSFS,
): { readonly name: string; readonly members: readonly string[] } | undefined {
  let master: string;
  try {
    master = basename(Deno.readLinkSync(`${sysfs}/${name}/master`));
  } catch {
    return undefined;
  }
  return isBond(master, sysfs) ? { name: master, members: below(master, sysfs) } : undefined;
}

/** What a bond or a VLAN device is made of; undefined for any other device. */
export function lowerDevices(
  name: string,
  sysfs = SYSFS,
): { readonly kind: "bond" | "vlan"; readonly devices: readonly string[] } | undefined {
  if (isBond(name, sysfs)) return { kind: "bond", devices: below(name, sysfs) };
  return kindOf(name, sysfs) === "vlan" ? { kind: "vlan", devices: below(name, sysfs) } : undefined;
}

function isBond(name: string, sysfs: string): boolean {
  return kindOf(name, sysfs) === "bond";
}

function kindOf(name: string, sysfs: string): string | undefined {
  return /^DEVTYPE=(\w+)$/m.exec(readText(`${sysfs}/${name}/uevent`) ?? "")?.[1];
}

function below(name: string, sysfs: string): string[] {
  return [...Deno.readDirSync(`${sysfs}/${name}`)].flatMap((entry) => /^lower_(.+)$/.exec(entry.name)?.[1] ?? [])
    .sort();
}
