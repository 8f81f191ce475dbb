/**
 * Ports that the kernel gives to the box's own programs: an answer to such a port is steered, and the program never
 * gets it.
 *
 * @module
 */
import type { PortRange } from "../config/ports.ts";
import { areFor } from "../steering/addresses.ts";
import { common, merged, portsText, without } from "../steering/port_set.ts";
import { type Rule, translates } from "../steering/rule.ts";
import { ownAddresses } from "./own_addresses.ts";
import { type Circumstances, type MachineCheck, ok, readText, type Verdict, warning } from "./question.ts";

export const LOCAL_PORTS_CHECK: MachineCheck = { check: "machine.local_ports", explains: [], look: localPorts };

const RANGE = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/** How the kernel chooses ports of programs that name none: out of a range, but for those that are reserved. */
export interface LocalPorts {
  readonly range: PortRange;
  readonly reserved: readonly PortRange[];
}

/** As it is set in this network namespace; undefined where the kernel does not tell. */
export function readLocalPorts(): LocalPorts | undefined {
  const [first, last] = (readText(RANGE) ?? "").split(/\s+/).map(Number);
  if (first === undefined || last === undefined) return undefined;
  const reserved = (readText(RESERVED) ?? "").split(",").filter((part) => part !== "").map((part): PortRange => {
    const [from = 0, to = from] = part.split("-").map(Number);
    return { first: from, last: to };
  });
  return { range: { first, last }, reserved };
}

/**
 * The ports that rules keep from the kernel stack, translation ports among them. Ascending.
 *
 * @param own The box's addresses: left out are ports that rules have for other addresses only, which no program of the
 * box can have. Undefined where these are to count too.
 */
export function steeredPorts(rules: readonly Rule[], translation: PortRange, own?: readonly Uint8Array[]): PortRange[] {
  const listed = rules.filter(({ action }) => action.kind !== "pass")
    .filter(({ addresses }) => own === undefined || own.some((address) => areFor(addresses, address)))
    .flatMap(({ ports }) => ports);
  const passed = rules.filter(({ action }) => action.kind === "pass").flatMap(({ ports }) => ports);
  return merged([...listed, ...translates(rules) ? without([translation], passed) : []]);
}

/** Ports of these that the kernel may give to a program. */
export function givenToPrograms(ports: readonly PortRange[], { range, reserved }: LocalPorts): PortRange[] {
  return without(common(ports, [range]), reserved);
}

/** The command that has the kernel keep these ports too. */
function reserveCommand(ports: readonly PortRange[], { reserved }: LocalPorts): string {
  const all = merged([...reserved, ...ports]).map(({ first, last }) =>
    first === last ? `${first}` : `${first}-${last}`
  );
  return `sysctl -w net.ipv4.ip_local_reserved_ports=${all.join(",")}`;
}

function localPorts({ rules }: Circumstances): Verdict | undefined {
  const local = readLocalPorts();
  if (rules === undefined || local === undefined) return undefined;
  return judgeLocalPorts(steeredPorts(rules.steering, rules.forwarding.ports, ownAddresses()), local);
}

/** What is to be said of steered ports where the kernel chooses ports in this way. */
export function judgeLocalPorts(steered: readonly PortRange[], local: LocalPorts): Verdict {
  const given = givenToPrograms(steered, local);
  if (given.length === 0) return ok("the kernel gives no port that is steered to a program");
  return warning(
    `the kernel gives ports that are steered (${portsText(given)}) to programs of this box, such as its resolver: ` +
      "answers to them never arrive",
    reserveCommand(given, local),
  );
}
