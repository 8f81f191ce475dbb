/**
 * `xdpsteer status`: asks a running xdpsteer over its control socket.
 *
 * @module
 */
import type { LastReload } from "../appliance/reload.ts";
import type { Snapshot } from "../observe/observer.ts";
import { ANSWERS } from "../steering/slots.ts";
import { plural } from "../text.ts";
import { callJson } from "./client.ts";
import { print, printJson, table } from "./output.ts";

/** The part of /v1/status that is shown. */
type Status = Snapshot & { readonly lastReload: LastReload | null };

export async function status({ socket, json }: { socket: string; json?: boolean }): Promise<void> {
  const answer = await callJson<Status>(socket, "GET", "/v1/status");
  if (json) return printJson(answer);
  const { generation, uptimeMs, interfaces, workers, rules, backends, totals, lastReload } = answer;
  print(`generation ${generation}, up ${Math.round(uptimeMs / 1000)} s`);
  if (lastReload?.result === "refused") {
    print(`the configuration offered at ${lastReload.time} was refused:\n${lastReload.message}`);
  }
  for (const { name, attach, queues } of interfaces) {
    const zeroCopy = queues.filter((queue) => queue.zeroCopy).length;
    print(`${name}: ${attach} XDP, ${plural(queues.length, "queue")}, ${zeroCopy} of them zero-copy`);
  }
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
      ["BACKEND", "RULES", "HEALTH", "VIA", "NEXT HOP", "LAST CHECK"],
      backends.map(({ name, rules: ofRules, health, nextHop }) => [
        name,
        ofRules.length === 0 ? "(removed)" : ofRules.join(","),
        health === null ? "not checked" : health.healthy ? "healthy" : "UNHEALTHY",
        nextHop?.interface ?? "no route",
        nextHop?.mac ?? "unknown",
        health?.reason ?? "",
      ]),
    ));
  }
  print("");
  const { seen, verdicts, received, socketDrops } = totals;
  const answers = rules.find(({ name }) => name === ANSWERS)?.redirected.packets ?? 0;
  const ofThem = answers > 0 ? `, ${answers} of all redirected being answers of backends` : "";
  print(
    `${
      plural(seen, "packet")
    } seen: ${verdicts.pass} passed, ${verdicts.drop} dropped, ${verdicts.redirect} redirected ` +
      `(${received} received by workers, ${socketDrops} dropped at sockets)${ofThem}`,
  );
}
