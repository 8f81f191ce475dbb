import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { settled } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import { swallowAnswers } from "./support/bpf.ts";
import { refusedFrames } from "./support/link.ts";
import { sleep } from "./support/wait.ts";

const WARM_PACKETS = SIZE.warmPackets;
/**
 * Code that is compiled late comes once (half a megabyte or more, in one run of ten); what is allocated for packets
 * comes each time.
 */
const TRIES = 3;
const SAMPLE_MS = 200;
/**
 * Optimized code, and the answers to how large the heap is. One object, of 16 bytes at least, for every twentieth of a
 * worker's million packets would already be more; for every hundredth of the five million of the full size.
 */
const GROWTH_KIB = 512;
/** A worker that must wait for a CPU loses packets, which are then sent again. */
const LEAST_PART = 0.5;

const CASES = {
  counted: { ports: [8080, 9090], packets: SIZE.countedPackets },
  "half of them echoed": { ports: [8080, 7777], packets: SIZE.echoedPackets },
} as const;

/**
 * How much each worker's heap has grown, all in all: what garbage collections took away in between is not taken off.
 */
class HeapGrowth {
  readonly grownKib: number[] = [];
  #last: readonly number[] = [];

  async sample(box: Appliance): Promise<void> {
    const workerHeapKib = await box.heapKib();
    workerHeapKib.forEach((kib, worker) => {
      this.grownKib[worker] = (this.grownKib[worker] ?? 0) + Math.max(0, kib - (this.#last[worker] ?? kib));
    });
    this.#last = workerHeapKib;
  }

  /** Samples until the work is done. */
  async during(box: Appliance, work: Promise<unknown>): Promise<void> {
    let done = false;
    const finished = work.finally(() => done = true);
    finished.catch(() => {}); // awaited below
    for (await this.sample(box); !done; await this.sample(box)) await sleep(SAMPLE_MS);
    await finished;
  }
}

/** Packets of the worker that received fewest between two looks. */
function leastReceived(before: Status, after: Status): number {
  return Math.min(...after.workers.map(({ received }, worker) => received - before.workers[worker]!.received));
}

for (const [what, { ports, packets }] of Object.entries(CASES)) {
  Deno.test(`the packet loop allocates nothing for a packet: ${packets.toLocaleString("en")} packets, ${what}`, async () => {
    await using network = await TestNetwork.create();
    const rules = [
      "{ name: first, ports: 8080, worker: 0 }",
      "{ name: last, ports: 9090, worker: 1 }",
      "{ name: echo, ports: 7777, worker: 1, action: echo }",
    ];
    await swallowAnswers(network);
    await using box = await startAppliance(network, { rules });
    const send = (count: number): Promise<unknown> =>
      runTraffic(network, "live", { ports, flows: 200, count, cpus: [0, 1] });

    await send(WARM_PACKETS);
    let sent = WARM_PACKETS;
    let before = await settled(box);
    const grown: (readonly number[])[] = [];
    do {
      const heap = new HeapGrowth();
      let after: Status;
      do {
        await heap.during(box, send(packets));
        sent += packets;
        after = await settled(box);
        assert.equal(after.totals.verdicts.redirect + await refusedFrames(network), sent);
      } while (leastReceived(before, after) < LEAST_PART * packets / ports.length);
      grown.push(heap.grownKib);
      before = after;
    } while (grown.at(-1)!.some((kib) => kib >= GROWTH_KIB) && grown.length < TRIES);
    const last = grown.at(-1)!;
    assert.ok(last.every((kib) => kib < GROWTH_KIB), `KiB allocated by worker, each time: ${JSON.stringify(grown)}`);
  });
}

Deno.test("a worker with nothing to do sleeps, whatever it did before", async () => {
  await using network = await TestNetwork.create();
  const rules = ["{ name: some, ports: 8080, worker: 0 }", "{ name: echo, ports: 7777, worker: 1, action: echo }"];
  await using box = await startAppliance(network, { rules });
  await runTraffic(network, "udp", { ports: [8080, 7777], packetsPerFlow: 10 }); // fewer than are given back at once
  const sleeps = async (): Promise<number[]> => (await box.status()).workers.map(({ loop }) => loop.sleeps!);
  await settled(box);
  const before = await sleeps();
  await sleep(2000);
  for (const [worker, count] of (await sleeps()).entries()) {
    assert.ok(count - before[worker]! < 60, `worker ${worker} woke up ${count - before[worker]!} times in two seconds`);
  }
});
