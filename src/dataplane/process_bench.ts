/**
 * Cost of processing a batch of 64 packets, for each action and size, over plain memory: `scripts/dev bench:micro`.
 * Their headers are put back before each batch, which is measured alone too.
 */
import { compileWorkerTable } from "../steering/compile.ts";
import { createWorkerTables, viewWorkerTables } from "../steering/worker_table.ts";
import { buildFrame } from "../traffic/frames.ts";
import { Batch, BATCH_SIZE } from "./batch.ts";
import { processBatch } from "./process.ts";
import { WorkerCounters } from "./counters.ts";

const CHUNK = 2048;
const SLOTS = 16;
const HEADER_BYTES = 60;
const PORTS = { count: 9000, echo: 7777 } as const;
const [first, table] = viewWorkerTables(createWorkerTables(SLOTS));
compileWorkerTable(
  table!,
  first!,
  Object.entries(PORTS).map(([action, port]) => ({
    name: action,
    ports: [{ first: port, last: port }],
    worker: 0,
    action: { kind: action as keyof typeof PORTS },
    addresses: "own",
    fragments: "drop",
  })),
  [1, 2],
  new Set(),
);

for (const [action, port] of Object.entries(PORTS)) {
  for (const [family, payloadBytes] of [["IPv4", 18], ["IPv4", 1358], ["IPv6", 18]] as const) {
    const memory = new Uint8Array(BATCH_SIZE * CHUNK);
    const address = (host: number): string => family === "IPv6" ? `fd00::${host}` : `10.0.0.${host}`;
    const frame = buildFrame({
      source: { mac: "02:00:00:00:00:01", address: address(1), port: 40_000 },
      destination: { mac: "02:00:00:00:00:02", address: address(2), port },
      payload: new Uint8Array(payloadBytes),
    }).bytes;
    const batch = new Batch();
    batch.count = BATCH_SIZE;
    for (let index = 0; index < BATCH_SIZE; index++) {
      memory.set(frame, index * CHUNK + 256);
      batch.addr[index] = index * CHUNK + 256;
      batch.length[index] = frame.byteLength;
    }
    const counters = WorkerCounters.create(SLOTS, 1);
    const view = new DataView(memory.buffer);
    const receivedAt = counters.receivedAt(0);
    const headers = new DataView(frame.buffer);
    const restore = (): void => {
      for (let at = 256; at < memory.length; at += CHUNK) {
        for (let word = 0; word < HEADER_BYTES; word += 4) view.setInt32(at + word, headers.getInt32(word));
      }
    };
    const name = `${action}, ${family}, ${frame.byteLength} bytes: ${BATCH_SIZE} packets`;
    Deno.bench(name, { group: "process" }, () => {
      restore();
      processBatch(view, batch, table!, counters.values, receivedAt, BATCH_SIZE);
    });
    if (action === "count" && payloadBytes === 18 && family === "IPv4") Deno.bench("only put headers back", restore);
  }
}
