import assert from "node:assert/strict";
import type { Snapshot } from "../observe/observer.ts";
import { isPerfect, missingPackets, summarize } from "./demo_account.ts";
import { summaryText } from "./demo_screen.ts";
import { windowPackets } from "./demo.ts";

const NO_DROPS = { rx_dropped: 0, rx_ring_full: 0 };

interface Counts {
  readonly redirected: number;
  readonly passed?: number;
  readonly fates: Readonly<Record<string, number>>;
  /** By queue and worker. */
  readonly drops?: readonly (readonly Readonly<Record<string, number>>[])[];
  readonly uncovered?: number;
}

/** The parts of a snapshot that are looked at: rule "web" of port 8080, whose packets all went to worker 0. */
function snapshot({ redirected, passed = 0, fates, drops = [[NO_DROPS, NO_DROPS]], uncovered = 0 }: Counts): Snapshot {
  const counted = (packets: number) => ({ packets, bytes: 0 });
  const received = Object.values(fates).reduce((sum, packets) => sum + packets, 0);
  const socketDrops = drops.flat().flatMap((one) => Object.values(one)).reduce((sum, packets) => sum + packets, 0);
  const queues = drops.map((sockets, queue) => ({
    queue,
    sockets: sockets.map((statistics, worker) => ({ worker, statistics })),
  }));
  const workers = [0, 1].map((worker) => ({
    worker,
    fates: worker === 0
      ? Object.fromEntries(Object.entries(fates).map(([fate, packets]) => [fate, counted(packets)]))
      : {},
    received: [{ interface: "steer0", queue: 0, packets: worker === 0 ? received : 0 }],
  }));
  const rule = { name: "web", inForce: true, ports: "8080", worker: 0, action: "count" };
  return {
    generation: 2,
    interfaces: [{ verdicts: { pass: { uncovered_queue: uncovered } }, queues }],
    rules: [{ ...rule, redirected: counted(redirected), passed: counted(passed), dropped: counted(0), workers }],
    totals: { received, socketDrops },
  } as unknown as Snapshot;
}

Deno.test("missingPackets() names nothing where every packet was counted", () => {
  assert.deepEqual(missingPackets(100, snapshot({ redirected: 100, fates: { counted: 100 } })), []);
});

Deno.test("missingPackets() names each place on a packet's way, and they add up", () => {
  const drops = [[NO_DROPS, { rx_dropped: 4, rx_ring_full: 0 }], [{ rx_dropped: 0, rx_ring_full: 5 }, NO_DROPS]];
  const fates = { counted: 60, unlisted: 7 };
  const missing = missingPackets(100, snapshot({ redirected: 85, passed: 3, uncovered: 2, drops, fates }));
  assert.deepEqual(missing.map(({ packets, where }) => `${packets} ${where}`), [
    "10 lost on the veth, before the XDP program saw them",
    "2 passed to the kernel stack: the queue has no sockets",
    '3 rule "web", passed to the kernel stack: a rule says pass',
    "4 queue 0, worker 1, rx_dropped: no free chunk, or the packet is larger than a chunk",
    "5 queue 1, worker 0, rx_ring_full: the rx ring was full: the worker is too slow",
    "9 redirected to a socket, and neither received nor dropped there",
    '7 rule "web", worker 0, unlisted: its port no longer has a rule',
  ]);
  assert.equal(missing.reduce((sum, { packets }) => sum + packets, 0), 100 - fates.counted);
});

Deno.test("summaryText() says that nothing was lost only where nothing was", () => {
  const of = (sent: number, atChange: number): ReturnType<typeof summarize> =>
    summarize(
      [[8080, sent]],
      [{ port: 8080, worker: 0, queue: 0, packets: atChange }],
      snapshot({ redirected: 100, fates: { counted: 100 } }),
    );
  const claim = /lost nothing|reached the worker/;
  assert.ok(isPerfect(of(100, 100)));
  assert.match(summaryText(of(100, 100)), claim);
  for (const bad of [of(101, 100), of(100, 99)]) {
    assert.ok(!isPerfect(bad));
    assert.doesNotMatch(summaryText(bad), claim);
  }
});

Deno.test("windowPackets() is no more than a veth's ring where the kernel drops what does not fit there", () => {
  for (const release of ["5.15.0-100-generic", "6.8.0", "6.15.9"]) assert.equal(windowPackets(release), 256, release);
  for (const release of ["6.16-rc1", "6.18.5-amd64", "7.0.0"]) assert.equal(windowPackets(release), 1536, release);
});
