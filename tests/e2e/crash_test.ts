/**
 * A process that is killed under a service manager that keeps descriptors: the next one goes on with its sockets,
 * sessions and counters, and every packet has its account.
 */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { assertConserved, fatesOf, passedFor, settled } from "./support/accounts.ts";
import type { Status } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { crash, startSupervised, untilKept } from "./support/supervised.ts";

const RULES = [
  "{ name: count, ports: 8080, worker: 0 }",
  "{ name: spread, ports: 9090, worker: hash }",
  "{ name: echo, ports: 7777, worker: 1, action: echo }",
];
const PORTS = [8080, 9090, 7777];
const RATE_PPS = 3000;

/** Packets with a fate, of all rules. */
function fates(status: Status): number {
  return RULES.flatMap((_, index) => Object.values(fatesOf(status, ["count", "spread", "echo"][index]!)))
    .reduce((sum, packets) => sum + packets, 0);
}

Deno.test("a process that is killed under load: the next one goes on with sockets and counters", async () => {
  await using network = await TestNetwork.create();
  await using box = await startSupervised(network, { rules: RULES, workers: 2 });
  await untilKept(box);
  await using traffic = await BackgroundTraffic.udp(network, box, { ports: PORTS, flows: 40, ratePps: RATE_PPS });
  const before = await box.status();
  const after = await crash(box);
  assert.deepEqual([after.handovers.adopted, after.handovers.last?.result], [1, "adopted"], box.stderr);
  assert.ok(after.totals.seen >= before.totals.seen, "a counter went back");
  assert.equal(after.generation, 1);
  const { totals: { received } } = after;
  await box.untilStatus("packets after it", ({ totals }) => totals.received > received + 1000);
  const { sent } = await traffic.stop();
  const status = await settled(box, sent);
  assertConserved(status);
  const { worker_failed: lost = 0 } = status.totals.fates;
  const { socketDrops, redirectErrors, seen } = status.totals;
  // While nobody turned, and while the next process had no rules in force.
  const passed = passedFor(status, "deadman") + passedFor(status, "unlisted_port");
  // deno-lint-ignore no-console -- what it cost here
  console.log(`nobody answered for ${after.goneMs} ms; of ${sent} packets ${passed} passed, ${lost} lost in hand`);
  assert.equal(fates(status) + lost + socketDrops + redirectErrors + passed, sent, JSON.stringify(status.totals));
  assert.ok(seen >= sent);
  assert.equal((await box.metrics()).get('xdpsteer_handovers_total{result="adopted"}'), 1);
});
