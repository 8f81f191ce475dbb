/**
 * Checks of backends that have many ports: a range must have as many as the rule, and no two backends may have one port
 * in common, since an answer from it could be of either.
 *
 * @module
 */
import { type PortRange, rangeText } from "../steering/rule.ts";
import { readBackend, readNamed } from "./backend.ts";
import { KEEPING } from "./forward.ts";
import { portItems } from "./ports.ts";
import { show } from "./wording.ts";
import { listAt, type Path, type Place, valueAt, type YamlFile } from "./yaml_file.ts";

/** A backend of a rule, and the ports that it gets packets on. */
interface Named {
  readonly rule: number;
  readonly path: Path;
  readonly name: string;
  /** Its address, or the name that is looked up. */
  readonly host: string;
  readonly ports: readonly PortRange[];
  readonly hasMany: boolean;
}

/** @param forwarding Rules that forward, with their numbers. */
export function checkRanges(
  file: YamlFile,
  forwarding: readonly (readonly [number, unknown])[],
  report: (place: Place, message: string) => void,
): void {
  const byHost = new Map<string, Named[]>();
  for (const [rule, entry] of forwarding) {
    const served = portItems(valueAt(entry, ["ports"])).map(({ ports }) => ports);
    if (served.length === 0) continue; // the schema says why
    const keeps = KEEPING.includes(String(valueAt(entry, ["action", "forward", "mode"])));
    for (const [index, item] of listAt(entry, "action", "forward", "to").entries()) {
      const text = typeof item === "string" ? item : valueAt(item, ["address"]);
      const read = typeof text === "string" ? readBackend(text) ?? readNamed(text) : undefined;
      if (read === undefined) continue;
      const path = ["steering", rule, "action", "forward", "to", index];
      const { name, port, lastPort } = read;
      const hasMany = port === 0 || lastPort !== undefined;
      if (lastPort !== undefined) {
        const fault = rangeFault(name, lastPort - port + 1, served, keeps);
        if (fault !== undefined) report(file.usePlace(path), fault);
      }
      if (keeps) continue; // answers do not come through here
      const host = "host" in read ? read.host : read.address;
      const ports = port === 0 ? served : [{ first: port, last: lastPort ?? port }];
      byHost.set(host, [...byHost.get(host) ?? [], { rule, path, name, host, ports, hasMany }]);
    }
  }
  for (const all of byHost.values()) checkOverlaps(file, all, report);
}

function rangeFault(
  name: string,
  count: number,
  served: readonly PortRange[],
  keeps: boolean,
): string | undefined {
  const backend = `backend ${show(name)}`;
  const alone = show(name.slice(0, name.lastIndexOf(":")));
  if (keeps) {
    return `${backend} has a range of ports, which are for mode nat: expected ${alone}, since mode ${
      KEEPING.join(" and ")
    } keeps the ports`;
  }
  const asked = served.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  const first = Math.min(...served.map((ports) => ports.first));
  const last = Math.max(...served.map((ports) => ports.last));
  if (last - first + 1 !== asked) {
    return `${backend} has a range of ports, and the rule has several: expected one range, or ${alone}, which keeps ` +
      "the ports";
  }
  if (asked === count) return undefined;
  return `${backend} has ${count} ports, and the rule has ${asked}, ${
    rangeText({ first, last })
  }: expected as many, or ${alone}, which keeps the ports`;
}

function checkOverlaps(
  file: YamlFile,
  all: readonly Named[],
  report: (place: Place, message: string) => void,
): void {
  if (all.every(({ hasMany }) => !hasMany)) return;
  const told = new Set<string>();
  for (const [index, one] of all.entries()) {
    for (const other of all.slice(0, index)) {
      if (one.name === other.name || (!one.hasMany && !other.hasMany) || told.has(one.name)) continue;
      const both = commonPort(one.ports, other.ports);
      if (both === undefined) continue;
      told.add(one.name);
      const { line } = file.position(file.usePlace(other.path).start);
      const message = `backend ${show(one.name)} has port ${both}, and so has ${show(other.name)} on line ${line}: ` +
        "expected each port of an address in one of them, since answers from it could be of either";
      report(file.usePlace(one.path), message);
    }
  }
}

function commonPort(one: readonly PortRange[], other: readonly PortRange[]): number | undefined {
  for (const { first, last } of one) {
    const clash = other.find((ports) => ports.first <= last && ports.last >= first);
    if (clash !== undefined) return Math.max(first, clash.first);
  }
  return undefined;
}
