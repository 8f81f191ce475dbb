/**
 * `xdpsteer status`: asks a running xdpsteer over its control socket.
 *
 * @module
 */
import { request } from "node:http";
import type { Snapshot } from "../control/appliance.ts";
import { messageOf, SteerError } from "../errors.ts";
import { print, table } from "./output.ts";

export async function status({ socket, json }: { socket: string; json?: boolean }): Promise<void> {
  const body = await get(socket, "/v1/status");
  if (json) {
    print(body.trimEnd());
    return;
  }
  const { generation, uptimeMs, interfaces, workers, rules, totals } = JSON.parse(body) as Snapshot;
  print(`generation ${generation}, up ${Math.round(uptimeMs / 1000)} s`);
  for (const { name, attach, queues } of interfaces) {
    const zeroCopy = queues.filter((queue) => queue.zeroCopy).length;
    print(`${name}: ${attach} XDP, ${queues.length} queues, ${zeroCopy} of them zero-copy`);
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
  print("");
  const { seen, verdicts, received, socketDrops } = totals;
  print(
    `${seen} packets seen: ${verdicts.pass} passed, ${verdicts.drop} dropped, ${verdicts.redirect} redirected ` +
      `(${received} received by workers, ${socketDrops} dropped at sockets)`,
  );
}

/** GET over the control socket. @throws {SteerError} when nothing answers there. */
export function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(
        new SteerError(`Cannot reach xdpsteer at "${socketPath}": ${messageOf(error)}`, {
          hint: "is it running? another control.socket is named with --socket",
        }),
      );
    request({ socketPath, path }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => text += part);
      response.on("error", fail);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new SteerError(`xdpsteer answers ${response.statusCode}: ${text.trim()}`));
      });
    }).on("error", fail).end();
  });
}
