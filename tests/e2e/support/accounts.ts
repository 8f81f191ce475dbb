/**
 * Where packets went: reading a status, and holding it against itself and against what was sent.
 *
 * @module
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import type { RuleStatus } from "../../../src/observe/snapshot.ts";
import { TRANSLATION_PORTS } from "../../../src/steering/slots.ts";
import type { Appliance, Status } from "./appliance.ts";
import { sumOf } from "../../support/metrics.ts";
import { sleep } from "./wait.ts";

/** How long a count that is complete must stay as it is. */
const STAY_MS = 100;

export function ruleOf(status: Status, name: string): RuleStatus {
  const found = status.rules.find((rule) => rule.name === name);
  assert.ok(found, `there is no rule "${name}": ${status.rules.map((rule) => rule.name)}`);
  return found;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Packets of a rule that each worker received, over all queues. */
export function receivedByWorker(status: Status, rule: string): number[] {
  return ruleOf(status, rule).workers.map(({ received }) => sum(received.map(({ packets }) => packets)));
}

/** Packets of a rule that came in on each queue, over all workers. */
export function receivedByQueue(status: Status, rule: string): number[] {
  const { workers } = ruleOf(status, rule);
  return workers[0]!.received.map((_, place) => sum(workers.map(({ received }) => received[place]!.packets)));
}

/** Packets of a rule from its clients with each fate, over all workers; fates without packets are left out. */
export function fatesOf(status: Status, rule: string): Record<string, number> {
  return fatesIn(ruleOf(status, rule).workers);
}

/** The same of what came back to a rule. */
export function answersOf(status: Status, rule: string): Record<string, number> {
  return fatesIn(ruleOf(status, rule).answers);
}

/** The same of what came to translation ports and is of no session. */
export function strayAnswers(status: Status): Record<string, number> {
  return fatesOf(status, TRANSLATION_PORTS);
}

function fatesIn(workers: RuleStatus["workers"]): Record<string, number> {
  const fates: Record<string, number> = {};
  for (const worker of workers) {
    for (const [fate, { packets }] of Object.entries(worker.fates)) {
      if (packets > 0) fates[fate] = (fates[fate] ?? 0) + packets;
    }
  }
  return fates;
}

/** Packets that the XDP programs passed for a reason. */
export function passedFor(status: Status, reason: string): number {
  return sum(status.interfaces.map(({ verdicts }) => verdicts.pass[reason] ?? 0));
}

/** Every packet has one verdict and, where it was redirected, one fate; nothing is unexplained. */
export function assertConserved(status: Status): void {
  const { seen, verdicts, received, socketDrops, redirectErrors, fates } = status.totals;
  assert.equal(verdicts.redirect + verdicts.pass + verdicts.drop, seen, "packets seen = sum of verdicts");
  assert.equal(
    received + socketDrops + redirectErrors,
    verdicts.redirect,
    "redirected = received + dropped at sockets + redirects that failed",
  );
  assert.equal(sum(Object.values(fates)), received, "received = sum of fates");
  assert.equal(sum(status.workers.map((worker) => worker.received)), received, "received = sum over workers");
  assert.equal(sum(status.rules.map((rule) => rule.redirected.packets)), verdicts.redirect, "redirected = over rules");
}

/** /metrics tells of the same packets as /v1/status. Both must be taken while nothing moves. */
export function assertSameCounts(status: Status, metrics: ReadonlyMap<string, number>): void {
  for (const { name, seen, verdicts, queues } of status.interfaces) {
    const at = { interface: name };
    assert.equal(sumOf(metrics, "xdpsteer_xdp_seen_packets_total", at), seen);
    for (const [verdict, byReason] of Object.entries(verdicts)) {
      for (const [reason, packets] of Object.entries(byReason)) {
        assert.equal(sumOf(metrics, "xdpsteer_xdp_packets_total", { ...at, verdict, reason }), packets, reason);
      }
    }
    for (const { queue, sockets } of queues) {
      for (const { worker, statistics } of sockets) {
        for (const reason of ["rx_dropped", "rx_ring_full"] as const) {
          const labels = { ...at, queue, worker, reason };
          assert.equal(sumOf(metrics, "xdpsteer_xsk_drops_total", labels), statistics[reason]);
        }
      }
    }
  }
  for (const { name: rule, dropped, passed, delivered, answered, workers, answers } of status.rules) {
    const inKernel = { rule, worker: "xdp" };
    const packets = (labels: Record<string, string | number>): number =>
      sumOf(metrics, "xdpsteer_rule_packets_total", labels);
    const bytes = (labels: Record<string, string | number>): number =>
      sumOf(metrics, "xdpsteer_rule_bytes_total", labels);
    assert.equal(packets({ ...inKernel, fate: "dropped" }), dropped.packets);
    assert.equal(packets({ ...inKernel, fate: "passed" }), passed.packets);
    assert.equal(packets({ ...inKernel, fate: "delivered" }), delivered.packets);
    assert.equal(bytes({ ...inKernel, fate: "delivered" }), delivered.bytes);
    assert.equal(sumOf(metrics, "xdpsteer_rule_answered_packets_total", { rule }), answered.packets);
    const came = rule === TRANSLATION_PORTS ? "back" : "in";
    const ways = [
      ...workers.map((of) => ({ ...of, direction: came })),
      ...answers.map((of) => ({ ...of, direction: "back" })),
    ];
    for (const { worker, fates, received, direction } of ways) {
      for (const [fate, counts] of Object.entries(fates)) {
        const labels = { rule, worker, fate, direction };
        assert.equal(packets(labels), counts.packets, JSON.stringify(labels));
        assert.equal(bytes(labels), counts.bytes, JSON.stringify(labels));
      }
      for (const { queue, packets: count } of received) {
        const labels = { rule, worker, queue, direction };
        assert.equal(sumOf(metrics, "xdpsteer_worker_received_packets_total", labels), count, JSON.stringify(labels));
      }
    }
  }
}

/**
 * Waits until the workers have everything that was redirected and no more comes, then sees that it adds up.
 *
 * On a busy machine packets may still wait in a veth's ring, where nobody has counted them, long after they were sent.
 *
 * @param sent How many packets the interface is to have seen, at least.
 */
export async function settled(box: Appliance, sent = 0): Promise<Status> {
  let before: unknown;
  for (;;) {
    const { totals } = await box.untilStatus(
      "all redirected packets",
      ({ totals: { seen, received, socketDrops, redirectErrors, verdicts } }) =>
        seen >= sent && received + socketDrops + redirectErrors >= verdicts.redirect,
    );
    if (isDeepStrictEqual(before, totals.fates)) break;
    before = totals.fates;
    await sleep(STAY_MS);
  }
  const status = await box.status();
  assertConserved(status);
  return status;
}
