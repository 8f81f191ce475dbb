/**
 * What of the machine hinders the rules of a configuration: asked by the doctor, at every start, and when rules change.
 *
 * @module
 */
import { LOCAL_PORTS_CHECK } from "./local_ports.ts";
import { type Circumstances, type MachineCheck, ok, readText, type Verdict, warning } from "./question.ts";

export const RULE_CHECKS: readonly MachineCheck[] = [
  LOCAL_PORTS_CHECK,
  { check: "machine.ipv6", explains: ["EAFNOSUPPORT", "EADDRNOTAVAIL"], look: ipv6 },
];

/** Without IPv6 the kernel has no route to an IPv6 backend, and finds no neighbour. */
function ipv6({ interfaces, rules }: Circumstances): Verdict | undefined {
  const backends = (rules?.steering ?? []).flatMap(({ action }) => action.kind === "forward" ? action.to : [])
    .filter(({ address }) => address.includes(":"));
  if (backends.length === 0) return undefined;
  const text = `backend ${backends[0]!.name} has an IPv6 address`;
  const settings = interfaces.map(({ name }) =>
    [name, readText(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`)] as const
  );
  if (settings.some(([, disabled]) => disabled === "0")) return ok(`${text}, and IPv6 is on`);
  const off = settings.filter(([, disabled]) => disabled === "1").map(([name]) => name);
  if (off.length === 0) return warning(`${text}, and the kernel has no IPv6`);
  return warning(
    `${text}, and IPv6 is off on ${off.join(", ")}`,
    `sysctl -w ${off.map((name) => `net.ipv6.conf.${name}.disable_ipv6=0`).join(" ")}`,
  );
}
