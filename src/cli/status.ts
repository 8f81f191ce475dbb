/**
 * `xdpsteer status`: asks a running xdpsteer over its control socket.
 *
 * @module
 */
import type { LastReload } from "../appliance/reload.ts";
import type { Snapshot } from "../observe/observer.ts";
import type { InterfaceStatus, RuleStatus } from "../observe/snapshot.ts";
import { BOUND_WORDS } from "../steering/sessions.ts";
import { plural } from "../text.ts";
import { callJson } from "./client.ts";
import { print, printJson, table } from "./output.ts";

/** The part of /v1/status that is shown. */
type Status = Snapshot & { readonly lastReload: LastReload | null; readonly answers: RuleStatus | null };

/** How an interface stands: `eth1: native XDP, 4 queues, 0 of them zero-copy`. */
function interfaceLine({ name, currentName, state, since, why, attach, queues }: InterfaceStatus): string {
  const called = currentName === name ? name : `${name} (now ${currentName})`;
  if (state !== "attached") return `${called}: ${state.toUpperCase()} since ${since}: ${why}`;
  const zeroCopy = queues.filter((queue) => queue.zeroCopy).length;
  return `${called}: ${attach} XDP, ${plural(queues.length, "queue")}, ${zeroCopy} of them zero-copy`;
}

export async function status({ socket, json }: { socket: string; json?: boolean }): Promise<void> {
  const answer = await callJson<Status>(socket, "GET", "/v1/status");
  if (json) return printJson(answer);
  const { generation, uptimeMs, interfaces, workers, rules, backends, totals, lastReload } = answer;
  print(`generation ${generation}, up ${Math.round(uptimeMs / 1000)} s`);
  if (lastReload?.result === "refused") {
    print(`the configuration offered at ${lastReload.time} was refused:\n${lastReload.message}`);
  }
  for (const status of interfaces) print(interfaceLine(status));
  print("");
  print(table(
    ["RULE", "PORTS", "WORKER", "ACTION", "REDIRECTED", "DROPPED", "PASSED"],
    rules.filter(({ inForce }) => inForce).map((rule) => [
      rule.name,
      rule.ports,
      `${rule.worker}`,
      `${rule.action}`,
      rule.redirected.packets,
      rule.dropped.packets,
      rule.passed.packets,
    ]),
  ));
  print("");
  print(table(
    ["WORKER", "STATE", "RECEIVED", "BUSY"],
    workers.map(({ worker, state, received, busyRatio }) => [
      `${worker}`,
      state,
      received,
      `${(busyRatio * 100).toFixed(1)} %`,
    ]),
  ));
  if (backends.length > 0) {
    print("");
    print(table(
      ["BACKEND", "RULES", "SESSIONS", "HEALTH", "VIA", "NEXT HOP", "LAST CHECK"],
      backends.map(({ name, rules: ofRules, sessions, leavingSeconds, health, nextHop, noWay }) => [
        name,
        leavingSeconds === null ? ofRules.join(",") : `(leaving for ${leavingSeconds} s)`,
        sessions,
        health === null ? "not checked" : health.healthy ? "healthy" : "UNHEALTHY",
        nextHop?.interface ?? (noWay?.interface ? `${noWay.interface}: not steered` : "no route"),
        nextHop?.mac ?? "unknown",
        health?.reason ?? "",
      ]),
    ));
    for (const { name, noWay } of backends) {
      if (noWay !== null && noWay.kind !== "no_route") print(`${name}: ${noWay.text}`);
    }
  }
  for (const line of refusalLines(workers)) print(line);
  print("");
  const { seen, verdicts, received, socketDrops, redirectErrors } = totals;
  const unredirected = redirectErrors > 0 ? `, ${redirectErrors} lost since their socket was closed or cut off` : "";
  const returned = answer.answers?.redirected.packets ?? 0;
  const ofThem = returned > 0 ? `, ${returned} of all redirected being answers of backends` : "";
  print(
    `${
      plural(seen, "packet")
    } seen: ${verdicts.pass} passed, ${verdicts.drop} dropped, ${verdicts.redirect} redirected ` +
      `(${received} received by workers, ${socketDrops} dropped at sockets${unredirected})${ofThem}`,
  );
}

/** What new sessions were refused for. */
function refusalLines(workers: Status["workers"]): string[] {
  const sumOf = (name: "refusedRows" | "refusedPorts"): number =>
    workers.reduce((sum, { loop }) => sum + loop[name], 0);
  return Object.entries({ rows: sumOf("refusedRows"), ports: sumOf("refusedPorts") } as const)
    .filter(([, count]) => count > 0)
    .map(([bound, count]) => {
      const { full, remedy } = BOUND_WORDS[bound as keyof typeof BOUND_WORDS];
      return `${plural(count, "packet")} refused that would begin a session: ${full}; ${remedy}`;
    });
}
