/**
 * Checks of backends that have many ports: a range must have as many as the rule, and no two backends may have one port
 * in common, since an answer from it could be of either.
 *
 * @module
 */
import { merged } from "../steering/port_set.ts";
import { type PortRange, rangeText } from "../steering/rule.ts";
import { readBackend, readNamed } from "./backend.ts";
import { KEEPING } from "./forward.ts";
import { PortClaims, portItems } from "./ports.ts";
import { show } from "./wording.ts";
import { listAt, type Path, type Place, valueAt, type YamlFile } from "./yaml_file.ts";

/** A backend of a rule, and the ports that it gets packets on. */
interface Named {
  /** Its place among those of one host. */
  readonly order: number;
  readonly path: Path;
  readonly name: string;
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
      const known = byHost.get(host) ?? [];
      byHost.set(host, known);
      known.push({ order: known.length, path, name, ports, hasMany });
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

/** @param all Backends of one address or name, in the order of the file. */
function checkOverlaps(
  file: YamlFile,
  all: readonly Named[],
  report: (place: Place, message: string) => void,
): void {
  const byName = Map.groupBy(all, ({ name }) => name);
  if (byName.size < 2 || all.every(({ hasMany }) => !hasMany)) return;
  const claims = new PortClaims<readonly Named[]>();
  for (const named of byName.values()) {
    // In one rule all that keep their port have one list.
    const same = named.filter(({ ports }, index) => ports !== named[index - 1]?.ports);
    const [clash] = merged(same.flatMap(({ ports }) => ports)).flatMap((ports) => claims.claim(ports, same));
    if (clash === undefined) continue;
    const port = clash.ports.first;
    const pair = [clash.owner, same].map((list) => list.find(({ ports }) => hasPort(ports, port))!);
    const [before, after] = pair.toSorted((one, other) => one.order - other.order) as [Named, Named];
    const { line } = file.position(file.usePlace(before.path).start);
    const message = `backend ${show(after.name)} has port ${port}, and so has ${show(before.name)} on line ${line}: ` +
      "expected each port of an address in one of them, since answers from it could be of either";
    report(file.usePlace(after.path), message);
  }
}

function hasPort(ports: readonly PortRange[], port: number): boolean {
  return ports.some(({ first, last }) => first <= port && port <= last);
}
