/**
 * Translation ports: each worker has a share of them, to which backends answer.
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import type { FlowKey } from "../packet/flow_key.ts";
import type { ForwarderOptions } from "../dataplane/forward.ts";
import { without } from "../steering/port_set.ts";
import type { PortRange, Rule } from "../steering/rule.ts";
import { TRANSLATION_PORTS } from "../steering/slots.ts";

/**
 * Rules for the translation ports: each worker's share of them is steered to that worker, but for ports that other
 * rules have.
 */
export function answerRules(
  { ports: { first, last } }: Config["forwarding"],
  workers: number,
  others: readonly Rule[],
): Rule[] {
  const taken = others.flatMap(({ ports }) => ports);
  return Array.from({ length: workers }, (_, worker) => {
    const ports = without([shareOf(first, last, worker, workers)], taken);
    return { name: TRANSLATION_PORTS, ports, addresses: "own", worker, action: { kind: "answer" }, fragments: "drop" };
  });
}

/** What a worker makes its forwarder of. */
export function forwarderOptions(
  { arrival, ports, sessions }: Config["forwarding"],
  worker: number,
  workers: number,
  key: FlowKey,
  ruleSlots: number,
): ForwarderOptions {
  const { first, last } = shareOf(ports.first, ports.last, worker, workers);
  const portCount = Math.max(1, last - first + 1);
  return { anyArrival: arrival === "loose", capacity: sessions, firstPort: first, portCount, key, ruleSlots };
}

/** The worker whose share a translation port is in; undefined: nobody's. */
export function ownerOfPort({ first, last }: PortRange, port: number, workers: number): number | undefined {
  if (port < first || port > last) return undefined;
  for (let worker = 0; worker < workers; worker++) {
    if (port <= shareOf(first, last, worker, workers).last) return worker;
  }
  return undefined;
}

/** A worker's share of the translation ports. */
function shareOf(first: number, last: number, worker: number, workers: number): PortRange {
  const count = last - first + 1;
  const from = first + Math.floor(count * worker / workers);
  return { first: from, last: first + Math.floor(count * (worker + 1) / workers) - 1 };
}
