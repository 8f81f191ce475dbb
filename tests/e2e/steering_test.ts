import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import {
  assertSameCounts,
  fatesOf,
  passedFor,
  receivedByQueue,
  receivedByWorker,
  ruleOf,
  settled,
} from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { attachedTo } from "./support/link.ts";

const FLOWS = 200;
const PACKETS_PER_FLOW = SIZE.steeredPackets;
const PACKETS = FLOWS * PACKETS_PER_FLOW; // to each port
const PORT = { first: 8080, last: 9090, spread: 7000, dropped: 1900, passed: 5000, unlisted: 6000 } as const;

const CASES = [
  { queues: 2, workers: 2, attach: "native" },
  { queues: 4, workers: 2, attach: "native" },
  { queues: 1, workers: 4, attach: "native" },
  { queues: 4, workers: 1, attach: "native" },
  { queues: 2, workers: 2, attach: "generic" },
  { queues: 4, workers: 2, attach: "generic" },
] as const;

/**
 * Queues that packets arrive on. Without NAPI a veth leaves the sender's tx queue in the packet, and the kernel's
 * common path reads a tx queue number as the rx queue before it: the last one gets none.
 */
const reachedQueues = (queues: number, attach: string): number => attach === "generic" ? queues - 1 : queues;

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

for (const { queues, workers, attach } of CASES) {
  const setting = `${plural(queues, "queue")}, ${plural(workers, "worker")}, ${attach}`;
  Deno.test(`every packet reaches the worker its port names: ${setting}`, async () => {
    await using network = await TestNetwork.create({ queues });
    const last = workers - 1;
    const rules = [
      `{ name: first, ports: ${PORT.first}, worker: 0 }`,
      `{ name: last, ports: ${PORT.last}, worker: ${last} }`,
      `{ name: spread, ports: ${PORT.spread}, worker: hash }`,
      `{ name: dropped, ports: ${PORT.dropped}, action: drop }`,
      `{ name: passed, ports: ${PORT.passed}, action: pass }`,
    ];
    await using box = await startAppliance(network, { rules, workers, attach }, { favoured: true });
    assert.equal((await attachedTo(network)).mode, attach, "what the kernel says is attached");

    const ports = Object.values(PORT);
    const packetsPerFlow = PACKETS_PER_FLOW * ports.length;
    const { sentPerPort } = await runTraffic(network, "udp", { ports, flows: FLOWS, packetsPerFlow });
    for (const port of ports) assert.equal(sentPerPort[port], PACKETS, `sent to port ${port}`);
    const status = await settled(box, ports.length * PACKETS);

    assert.equal(status.interfaces[0]!.attach, attach);
    assert.equal(status.interfaces[0]!.queues.length, queues);
    assert.equal(status.totals.socketDrops, 0);
    assert.equal(status.totals.verdicts.redirect, 3 * PACKETS);
    assert.equal(status.totals.verdicts.drop, PACKETS);
    assert.equal(passedFor(status, "rule_pass"), PACKETS);
    assert.equal(passedFor(status, "unlisted_port"), PACKETS);
    const neighbours = passedFor(status, "not_ip") + passedFor(status, "not_udp");
    assert.equal(status.totals.seen, ports.length * PACKETS + neighbours, "what was sent is what XDP saw");

    const only = (worker: number): number[] => Array.from({ length: workers }, (_, id) => id === worker ? PACKETS : 0);
    assert.deepEqual(receivedByWorker(status, "first"), only(0));
    assert.deepEqual(receivedByWorker(status, "last"), only(last));
    for (const rule of ["first", "last", "spread"]) {
      assert.deepEqual(fatesOf(status, rule), { counted: PACKETS });
      const byQueue = receivedByQueue(status, rule).slice(0, reachedQueues(queues, attach));
      assert.ok(byQueue.every((packets) => packets > 0), `every queue got some of "${rule}": ${byQueue}`);
    }
    const spread = receivedByWorker(status, "spread");
    assert.ok(spread.every((packets) => packets > 0), `every worker got some flows: ${spread}`);
    // A flow cut in two would show as a part of its packets at either worker.
    assert.ok(spread.every((packets) => packets % PACKETS_PER_FLOW === 0), `whole flows only: ${spread}`);
    assert.equal(ruleOf(status, "dropped").dropped.packets, PACKETS);
    assert.equal(ruleOf(status, "passed").passed.packets, PACKETS);

    assertSameCounts(status, await box.metrics());
    box.signal("SIGTERM");
    assert.equal((await box.ended()).code, 0, box.stderr);
  });
}
