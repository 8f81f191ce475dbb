/**
 * Problems of rules that forward, and of their backends.
 *
 * @module
 */
import type { NameStatus } from "../../backends/names/names.ts";
import type { BackendStatus, RuleBackend, RuleBackends } from "../../backends/status.ts";
import type { NoRoute } from "../../backends/next_hop/next_hops.ts";
import type { NoWay } from "../../backends/way.ts";
import { readBackend } from "../../config/backend.ts";
import { commandFor } from "../../host/own_addresses.ts";
import { plural } from "../../text.ts";
import type { FoundProblem, ProblemKind } from "./kinds.ts";

/** What is in the way to a backend, and what it is called where several are counted. */
const HINDRANCES: Readonly<Record<NoWay["kind"], { readonly kind: ProblemKind; readonly words: string }>> = {
  no_route: { kind: "backend_no_route", words: "without a route" },
  not_steered: { kind: "backend_not_steered", words: "behind an interface that is not steered" },
  not_attached: { kind: "next_hop_dead", words: "behind an interface that is not attached" },
  down: { kind: "next_hop_dead", words: "behind a link that is down" },
  no_neighbour: { kind: "next_hop_dead", words: "whose next hop does not answer" },
};

/** Rules without a usable backend, or without one of an IP version of which they have some. */
export function ruleProblems(rules: readonly RuleBackends[]): FoundProblem[] {
  return rules.flatMap(({ rule, noneLeft, hasTunnel, backends }): FoundProblem[] => {
    if (!backends.some(isUsable)) {
      return [{
        kind: "rule_without_backend",
        subject: rule,
        message: `Rule ${rule} has no usable backend, ${becomeOf(noneLeft, backends)}: ${reasons(backends)}`,
        fix: backends.length === 0
          ? "see what the names of its backends mean, in xdpsteer status"
          : fixFor(backends[0]!),
      }];
    }
    if (hasTunnel === true) return [];
    return [false, true].flatMap((wanted): FoundProblem[] => {
      const family = backends.filter(({ isIpv6 }) => isIpv6 === wanted);
      if (family.length === 0 || family.some(isUsable)) return [];
      return [{
        kind: "family_without_backend",
        subject: rule,
        message: `Rule ${rule} has no usable backend for IPv${wanted ? 6 : 4}, whose packets are lost: ${
          reasons(family)
        }`,
        fix: fixFor(family[0]!),
      }];
    });
  });
}

/** Packets with a healthy backend are sent to it, and lost on the way. */
function becomeOf(noneLeft: RuleBackends["noneLeft"], backends: readonly RuleBackend[]): string {
  if (backends.some(({ healthy, noWay }) => healthy && noWay === null)) return "so packets of new clients are lost";
  const passes = noneLeft === "pass" && !backends.some(({ healthy }) => healthy);
  return passes ? "so its packets go to the kernel stack" : "so its packets are lost";
}

function isUsable({ healthy, noWay, takesNew }: RuleBackend): boolean {
  return healthy && noWay === null && takesNew;
}

/** `2 backends fail their health check, 1 without a route` */
function reasons(backends: readonly RuleBackend[]): string {
  if (backends.length === 0) return "its names mean none";
  if (backends.length === 1) return `${backends[0]!.name} ${reasonOf(backends[0]!, 1)}`;
  const counts = new Map<string, number>();
  for (const backend of backends) counts.set(keyOf(backend), (counts.get(keyOf(backend)) ?? 0) + 1);
  return [...counts].map(([key, count]) => {
    const one = backends.find((backend) => keyOf(backend) === key)!;
    return `${plural(count, "backend")} ${reasonOf(one, count)}`;
  }).join(", ");
}

function keyOf({ healthy, isOut, noWay }: RuleBackend): string {
  return !healthy ? isOut ? "out" : "unhealthy" : noWay?.kind ?? "drained";
}

function reasonOf({ healthy, isOut, noWay }: RuleBackend, count: number): string {
  if (!healthy && isOut) return count === 1 ? "does not answer clients" : "do not answer clients";
  if (!healthy) return count === 1 ? "fails its health check" : "fail their health checks";
  return noWay === null
    ? (count === 1 ? "takes no new sessions" : "take no new sessions")
    : HINDRANCES[noWay.kind].words;
}

function fixFor({ name, healthy, isOut, noWay }: RuleBackend): string {
  if (healthy && noWay === null) return `xdpsteer backends undrain ${name}, or give it a weight`;
  if (!healthy && isOut) return passiveFix(name);
  return healthy ? wayFix(name, noWay!) : `see that ${name} answers; its last check is in xdpsteer status`;
}

/** Names that cannot be looked up, or have no address any more. */
export function nameProblems(names: readonly NameStatus[]): FoundProblem[] {
  return names.flatMap(({ name, backends, error, lastSuccess }): FoundProblem[] =>
    error === null ? [] : [{
      kind: "name_unresolved",
      subject: name,
      message: lastSuccess === null
        ? `${name} means no backend, since no look-up has found an address that one can have: ${error}`
        : `${name} has no answer that can be used, and means what it did at ${lastSuccess}, ${
          plural(backends.length, "backend")
        }: ${error}`,
      fix: "see what its DNS server answers, with dig; xdpsteer status lists what names mean",
    }]
  );
}

/** Translation addresses that no interface has. @param device Where the command adds them. */
export function addressProblems(addresses: readonly string[], device: string): FoundProblem[] {
  return addresses.map((address) => ({
    kind: "address_missing",
    subject: address,
    message: `No interface has the translation address ${address}, and backends' answers to it are lost`,
    fix: `${commandFor(address, device)}; or take it out of forwarding: { addresses }`,
  }));
}

/** Backends that rules name: one that is only kept for the sessions it has is nobody's problem any more. */
export function backendProblems(backends: readonly BackendStatus[]): FoundProblem[] {
  return backends.filter(({ rules }) => rules.length > 0).flatMap((backend): FoundProblem[] => {
    const { name, health, noWay } = backend;
    const problems: FoundProblem[] = [];
    if (health?.hindered) {
      problems.push({
        kind: "check_hindered",
        subject: name,
        message: `Backend ${name} cannot be checked and stays ${
          health.healthy ? "healthy" : "unhealthy"
        }: ${health.hindered}`,
        fix: hindranceFix(health.hindered),
      });
    } else if (health?.passive) {
      problems.push({
        kind: "backend_unhealthy",
        subject: name,
        message: `Backend ${name} does not answer clients, so passive: has put it out: ${health.reason}`,
        fix: passiveFix(name),
      });
    } else if (health?.healthy === false) {
      problems.push({
        kind: "backend_unhealthy",
        subject: name,
        message: `Backend ${name} fails its health check: ${health.failure ?? health.reason}`,
        fix: `see that ${name} answers, or raise timeout or fall under health:`,
      });
    }
    if (noWay !== null) problems.push(wayProblem(name, noWay));
    return problems;
  });
}

/** What to do about a backend that clients' packets speak against. */
function passiveFix(name: string): string {
  return `see that ${name} answers clients; or, under passive:, raise no_answer or within, or set unreachable: false`;
}

/** What to do where this machine hinders a check. @param reason Names the call and its errno. */
function hindranceFix(reason: string): string {
  if (/\bEPERM\b/.test(reason)) {
    return "nft list ruleset: a filter of this box drops what it sends; or IPAddressDeny= of the unit does: " +
      "systemctl show xdpsteer -p IPAddressDeny -p IPAddressAllow";
  }
  if (/\bE[MN]FILE\b/.test(reason)) return "raise LimitNOFILE= of the unit and restart";
  return "see what the call lacks: ports (ss -s), memory (free -m), addresses (ip address)";
}

function wayProblem(name: string, noWay: NoWay): FoundProblem {
  return {
    kind: HINDRANCES[noWay.kind].kind,
    subject: name,
    message: `No packet gets to backend ${name}: ${noWay.text}`,
    fix: wayFix(name, noWay),
  };
}

/** What to do where no packet gets to a backend. */
export function wayFix(name: string, { kind, interface: by, noRoute = "none" }: NoWay): string {
  const read = readBackend(name) ?? { address: name, port: 0 };
  const host = read.address;
  const ip = host.includes(":") ? "ip -6" : "ip";
  const correct = "correct the address under to:";
  const routes: Readonly<Record<NoRoute, string>> = {
    none: `${ip} route add ${host} dev INTERFACE, or via GATEWAY if a router is between; or ${correct}`,
    own: `if a program of this box is to have the packets, give the rule ${deliveryFor(read)}; or ${correct}`,
    group: correct,
    refused: `delete that route, which ${ip} route show table all lists; or ${correct}`,
    no_ethernet: `route it out of an Ethernet interface that is listed: ${ip} route get ${host}`,
  };
  const fixes: Readonly<Record<NoWay["kind"], string>> = {
    no_route: routes[noRoute],
    not_steered: `add { name: ${by} } to interfaces: and restart, or change the route: ip route get ${host}`,
    not_attached: `xdpsteer doctor --interface ${by}; it is tried again every second`,
    down: `ip link set dev ${by} up; ethtool ${by}`,
    no_neighbour: `see that its next hop is up and in the same network: ip neighbour show dev ${by}`,
  };
  return fixes[kind];
}

/** What hands packets to a program of this box, instead of a backend with an address of the box. */
export function deliveryFor({ port, lastPort }: { readonly port: number; readonly lastPort?: number }): string {
  if (port === 0) return "action: pass";
  const delivery = `action: { deliver: { port: ${port} } }`;
  return lastPort === undefined ? delivery : `a rule for each port, with ${delivery} and so on`;
}
