/**
 * What a configuration wants of the machine it is on: CPUs, a group, a place for its socket. `check` warns of what is
 * missing, since it may run on another machine; a start is refused for the same.
 *
 * @module
 */
import { kindOf } from "../ffi/held_file.ts";
import { messageOf } from "../errors.ts";
import { show } from "./wording.ts";

/** @returns undefined where all of these CPUs are there, or nothing is known. */
export function cpuObstacle(cpus: readonly number[]): string | undefined {
  const list = read("/sys/devices/system/cpu/online").trim();
  if (!/^\d/.test(list)) return undefined;
  const online = list.split(",").map((run) => run.split("-").map(Number));
  const missing = cpus.find((cpu) => !online.some(([first = 0, last = first]) => cpu >= first && cpu <= last));
  return missing === undefined ? undefined : `CPU ${missing} is not there: this machine has CPUs ${list}`;
}

/** The number of a group; undefined when there is none of this name. */
export function groupNumber(group: string | number): number | undefined {
  if (typeof group === "number") return group;
  const line = read("/etc/group").split("\n").find((text) => text.startsWith(`${group}:`));
  return line === undefined ? undefined : Number(line.split(":")[2]);
}

export function groupObstacle(group: string | number): string | undefined {
  return groupNumber(group) === undefined ? `there is no group ${show(group)} on this machine` : undefined;
}

/** What is in the place of a control socket and would not be replaced. */
export function socketObstacle(path: string): string | undefined {
  try {
    const info = Deno.lstatSync(path);
    return info.isSocket ? undefined : kindInTheWay(info);
  } catch {
    return undefined; // not there yet, or this user may not look
  }
}

/** What keeps the address of the HTTP interface from being listened on, whichever the port is. */
export function httpObstacle(address: string): string | undefined {
  const { hostname } = hostAndPort(address);
  try {
    Deno.listen({ hostname, port: 0 }).close();
    return undefined;
  } catch (error) {
    return `cannot listen on ${hostname}: ${messageOf(error)}`;
  }
}

/** `[::1]:9469` taken apart. */
export function hostAndPort(address: string): { readonly hostname: string; readonly port: number } {
  const at = address.lastIndexOf(":");
  return { hostname: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
}

export function kindInTheWay(info: Deno.FileInfo): string {
  return `${kindOf(info)} is there: expected a socket or nothing`;
}

/** Empty for what cannot be read. */
function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
