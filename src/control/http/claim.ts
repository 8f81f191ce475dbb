/**
 * The addresses of the HTTP interface, looked at before anything is touched: the listeners themselves come when packets are steered,
 * since Node's server takes longer to load than a packet may wait.
 *
 * @module
 */
import type { ControlConfig } from "../../config/schema.ts";
import { messageOf, SteerError } from "../../errors.ts";

/**
 * Makes sure that the control socket and the TCP address can be had.
 *
 * @throws {SteerError} when another xdpsteer answers on the socket, an address is taken, or there is no such group.
 */
export async function claimAddresses({ socket, group, http }: ControlConfig): Promise<void> {
  await claimSocket(socket);
  try {
    Deno.listen({ transport: "unix", path: socket }).close();
    await Deno.remove(socket).catch(() => {});
  } catch (error) {
    throw cannotOpen(socket, error);
  }
  if (group !== null) groupId(group);
  if (http === null) return;
  try {
    Deno.listen(hostAndPort(http)).close();
  } catch (error) {
    throw cannotListen(http, error);
  }
}

export function cannotOpen(path: string, error: unknown): SteerError {
  return new SteerError(`Cannot open the control socket "${path}": ${messageOf(error)}`, {
    hint: "set control.socket to a path in a directory that exists and can be written",
  });
}

export function cannotListen(address: string, error: unknown): SteerError {
  return new SteerError(`Cannot listen on ${address}: ${messageOf(error)}`, {
    hint: "set control.http to another address, or to off",
  });
}

/** `[::1]:9469` taken apart. */
export function hostAndPort(address: string): { readonly hostname: string; readonly port: number } {
  const at = address.lastIndexOf(":");
  return { hostname: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
}

/** The number of a group. @throws {SteerError} when there is none of this name. */
export function groupId(group: string | number): number {
  if (typeof group === "number") return group;
  let groups = "";
  try {
    groups = Deno.readTextFileSync("/etc/group");
  } catch {
    // A root without that file has no names for groups.
  }
  const line = groups.split("\n").find((text) => text.startsWith(`${group}:`));
  if (line !== undefined) return Number(line.split(":")[2]);
  throw new SteerError(`There is no group "${group}" for the control socket`, {
    hint: `create it with "groupadd ${group}", or set control.group to another`,
  });
}

/** Removes a socket that nobody answers on any more; refuses one that somebody does. */
async function claimSocket(path: string): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")) || "/", { recursive: true }).catch(() => {});
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch {
    await Deno.remove(path).catch(() => {});
    return;
  }
  throw new SteerError(`Another xdpsteer answers on "${path}", and goes on steering`, {
    hint:
      `xdpsteer status --socket ${path} shows what it does, xdpsteer reload --socket ${path} reads its configuration ` +
      "again; to run beside it, on other interfaces, give this one another control.socket",
  });
}
