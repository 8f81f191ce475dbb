import assert from "node:assert/strict";
import { ACTION_TABLE, WORKER_ACTIONS } from "../steering/action.ts";
import { compileWorkerTable } from "../steering/compile.ts";
import type { Rule } from "../steering/rule.ts";
import { NO_RULE } from "../steering/slots.ts";
import { createWorkerTables, viewWorkerTables, type WorkerTable } from "../steering/worker_table.ts";
import { buildFrame, type FrameOptions } from "../traffic/frames.ts";
import { Batch, BATCH_SIZE, DISPOSAL } from "./batch.ts";
import { countBatch, processBatch } from "./process.ts";
import { portRule } from "../../tests/support/loop_rig.ts";
import { WorkerCounters } from "./counters.ts";
import { Forwarder } from "./forward.ts";
import { FATE, type Fate, FATES } from "../steering/fate.ts";
import { createForwardTables, viewForwardTables } from "../steering/forward_table.ts";

const SLOTS = 16;
const CHUNK = 2048;
const CLIENT = { mac: "02:00:00:00:00:01", address: "10.1.2.3", port: 40000 };
const SERVER = { mac: "02:00:00:00:00:02", address: "10.1.2.4" };
const RULES: readonly Rule[] = [
  {
    name: "count",
    ports: [{ first: 9000, last: 9001 }],
    worker: 0,
    action: { kind: "count" },
    addresses: "own",
    fragments: "drop",
  },
  {
    name: "echo",
    ports: [{ first: 7777, last: 7777 }],
    worker: 0,
    action: { kind: "echo" },
    addresses: "own",
    fragments: "drop",
  },
];
const COUNT_SLOT = 1;
const ECHO_SLOT = 2;

const to = (port: number, more: Partial<FrameOptions> = {}): Uint8Array =>
  buildFrame({ source: CLIENT, destination: { ...SERVER, port }, payload: new Uint8Array(10), ...more }).bytes;

function table(): WorkerTable {
  const [first, second] = viewWorkerTables(createWorkerTables(SLOTS));
  compileWorkerTable(second!, first!, RULES, [COUNT_SLOT, ECHO_SLOT], new Set());
  return second!;
}

interface Outcome {
  readonly transmitted: number;
  readonly counters: WorkerCounters;
  readonly batch: Batch;
  readonly memory: Uint8Array;
}

function batchOf(frames: readonly Uint8Array[]): { readonly batch: Batch; readonly view: DataView } {
  const memory = new Uint8Array(BATCH_SIZE * CHUNK);
  const batch = new Batch();
  frames.forEach((frame, index) => {
    memory.set(frame, index * CHUNK + 256);
    batch.addr[index] = index * CHUNK + 256;
    batch.length[index] = frame.byteLength;
  });
  batch.count = frames.length;
  return { batch, view: new DataView(memory.buffer) };
}

function process(frames: readonly Uint8Array[], txRoom = BATCH_SIZE): Outcome {
  const { batch, view } = batchOf(frames);
  const counters = WorkerCounters.create(SLOTS, 2);
  const transmitted = processBatch(view, batch, table(), counters.values, counters.receivedAt(1), txRoom);
  return { transmitted, counters, batch, memory: new Uint8Array(view.buffer as ArrayBuffer) };
}

function fates({ counters }: Outcome, slot: number): Partial<Record<Fate, number>> {
  return Object.fromEntries(
    Object.entries(FATE).map(([name, fate]) => [name, counters.packets(slot, fate)]).filter(([, count]) => count !== 0),
  );
}

Deno.test("processBatch() carries out every action: a packet of its rule has one of its fates", () => {
  const forwarder = new Forwarder(
    viewForwardTables(createForwardTables(SLOTS), SLOTS)[0]!,
    { largest: () => 1792, isOpen: () => true, send: () => false },
    { capacity: 64, firstPort: 61000, portCount: 64, key: { low: 1, high: 2 }, ruleSlots: SLOTS },
  );
  for (const kind of WORKER_ACTIONS) {
    const [first, second] = viewWorkerTables(createWorkerTables(SLOTS));
    const rule = portRule(kind, 53, kind);
    compileWorkerTable(second!, first!, [rule], [COUNT_SLOT], new Set());
    const { batch, view } = batchOf([to(53)]);
    const counters = WorkerCounters.create(SLOTS, 1);
    const sent = processBatch(view, batch, second!, counters.values, counters.receivedAt(0), BATCH_SIZE, forwarder);
    const [fate] = FATES.filter((_, number) => counters.packets(COUNT_SLOT, number) === 1);
    const possible: readonly Fate[] = ACTION_TABLE[kind].fates;
    assert.ok(
      fate !== undefined && possible.includes(fate),
      `a packet of action ${kind} is ${fate}: expected one of ${possible}, as steering/action.ts says, from process.ts`,
    );
    assert.ok(
      sent === 0 || ACTION_TABLE[kind].answered,
      `action ${kind} sends packets back: it needs "answered: true"`,
    );
  }
});

Deno.test("processBatch() gives every packet one fate under its rule", () => {
  const broadcast = to(7777, { destination: { ...SERVER, mac: "ff:ff:ff:ff:ff:ff", port: 7777 } });
  const outcome = process([to(9000), to(7777), to(9001), to(5), broadcast, new Uint8Array(60)]);
  assert.deepEqual(fates(outcome, COUNT_SLOT), { counted: 2 });
  assert.deepEqual(fates(outcome, ECHO_SLOT), { echoed: 1, unanswerable: 1 });
  assert.deepEqual(fates(outcome, NO_RULE), { unlisted: 1, malformed: 1 });
  assert.equal(outcome.transmitted, 1);
  assert.deepEqual([...outcome.batch.disposal.subarray(0, 6)], [0, DISPOSAL.transmit, 0, 0, 0, 0]);
});

const CLIENT6 = { ...CLIENT, address: "fd00::1" };
const ECHO = { ...SERVER, port: 7777 };
const ECHO6 = { ...ECHO, address: "fd00::2" };

for (
  const [what, more] of Object.entries({
    "to a group": { destination: { ...ECHO, address: "239.255.255.250" } },
    "to the broadcast address": { destination: { ...ECHO, address: "255.255.255.255" } },
    "to a loopback address": { destination: { ...ECHO, address: "127.0.0.1" } },
    "to the zero address": { destination: { ...ECHO, address: "0.0.0.0" } },
    "to an IPv6 group": { source: CLIENT6, destination: { ...ECHO6, address: "ff02::1" } },
    "to a group MAC address": { destination: { ...ECHO, mac: "01:00:5e:7f:ff:fa" } },
    "from a group": { source: { ...CLIENT, address: "224.0.0.1" } },
    "from the broadcast address": { source: { ...CLIENT, address: "255.255.255.255" } },
    "from a loopback address": { source: { ...CLIENT, address: "127.0.0.1" } },
    "from the zero address": { source: { ...CLIENT, address: "0.0.0.0" } },
    "from the IPv6 loopback address": { source: { ...CLIENT6, address: "::1" }, destination: ECHO6 },
    "from a group MAC address": { source: { ...CLIENT, mac: "03:00:00:00:00:01" } },
    "from port 0": { source: { ...CLIENT, port: 0 } },
    "from its own port": { source: { ...CLIENT, port: 7777 } },
    "from its own port, by IPv6": { source: { ...CLIENT6, port: 7777 }, destination: ECHO6 },
    "from a DNS server": { source: { ...CLIENT, port: 53 } },
    "from a chargen service": { source: { ...CLIENT, port: 19 } },
  })
) {
  Deno.test(`processBatch() does not echo a packet ${what}, and leaves it as it came`, () => {
    const frame = to(7777, more);
    const outcome = process([frame]);
    assert.deepEqual(fates(outcome, ECHO_SLOT), { unanswerable: 1 });
    assert.equal(outcome.transmitted, 0);
    assert.deepEqual(outcome.memory.slice(256, 256 + frame.length), frame);
  });
}

Deno.test("processBatch() echoes a packet from a port whose packets are only counted here", () => {
  assert.deepEqual(fates(process([to(7777, { source: { ...CLIENT, port: 9000 } })]), ECHO_SLOT), { echoed: 1 });
});

for (const [source, destination] of [[CLIENT, ECHO], [CLIENT6, ECHO6]] as const) {
  Deno.test(`processBatch() sends an echo on while there are hops left, and no further: ${source.address}`, () => {
    const outcome = process([2, 1, 0].map((hops) => to(7777, { source, destination, hops })));
    assert.deepEqual(fates(outcome, ECHO_SLOT), { echoed: 1, hops_exceeded: 2 });
    const back = to(source.port, { source: destination, destination: source, hops: 1 });
    assert.deepEqual(outcome.memory.slice(256, 256 + back.length), back);
  });
}

Deno.test("processBatch() counts bytes of frames, and packets by the queue they came from", () => {
  const { counters } = process([to(9000), to(9000)]);
  assert.equal(counters.bytes(COUNT_SLOT, FATE.counted), 2 * to(9000).byteLength);
  assert.equal(counters.received(1, COUNT_SLOT), 2);
  assert.equal(counters.received(0, COUNT_SLOT), 0);
});

Deno.test("countBatch() counts what processBatch() would, without packets to look at", () => {
  const frames = [to(9000), to(9001, { payload: new Uint8Array(1400) }), to(9000)];
  const looked = process(frames);
  const counters = WorkerCounters.create(SLOTS, 2);
  looked.batch.disposal.fill(DISPOSAL.park);
  countBatch(looked.batch, COUNT_SLOT, counters.values, counters.receivedAt(1));
  assert.deepEqual(counters.values, looked.counters.values);
  assert.ok(looked.batch.disposal.subarray(0, frames.length).every((disposal) => disposal === DISPOSAL.recycle));
});

Deno.test("processBatch() drops and counts echoes that find no room in the tx ring, and leaves them as they came", () => {
  const frame = to(7777);
  const outcome = process([frame, frame, frame], 2);
  assert.equal(outcome.transmitted, 2);
  assert.deepEqual(fates(outcome, ECHO_SLOT), { echoed: 2, tx_ring_full: 1 });
});

Deno.test("processBatch() allocates nothing", () => {
  const memory = new Uint8Array(BATCH_SIZE * CHUNK);
  const batch = new Batch();
  const counters = WorkerCounters.create(SLOTS, 1);
  const view = new DataView(memory.buffer);
  const rules = table();
  const frames = [to(9000), to(7777)];
  for (let index = 0; index < BATCH_SIZE; index++) {
    memory.set(frames[index % 2]!, index * CHUNK + 256);
    batch.addr[index] = index * CHUNK + 256;
    batch.length[index] = frames[index % 2]!.byteLength;
  }
  batch.count = BATCH_SIZE;
  const packets = (count: number): void => {
    for (let done = 0; done < count; done += BATCH_SIZE) {
      // The echoed half goes to and fro: what was destination is source now, so it is put back.
      for (let index = 1; index < BATCH_SIZE; index += 2) memory.set(frames[1]!, index * CHUNK + 256);
      processBatch(view, batch, rules, counters.values, counters.receivedAt(0), BATCH_SIZE);
    }
  };
  packets(1_000_000); // compiled and settled
  const before = Deno.memoryUsage().heapUsed;
  packets(10_000_000);
  const grown = Deno.memoryUsage().heapUsed - before;
  assert.ok(grown < 64 * 1024, `the heap grew by ${grown} bytes over 10 million packets`);
  assert.equal(counters.packets(ECHO_SLOT, FATE.echoed) + counters.packets(COUNT_SLOT, FATE.counted), 11_000_000);
});
