/**
 * A worker's data path over plain memory, a frame at a time.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Batch, DISPOSAL } from "../../src/dataplane/batch.ts";
import { WorkerCounters } from "../../src/dataplane/counters.ts";
import type { Egress, Forwarder } from "../../src/dataplane/forward.ts";
import { processBatch } from "../../src/dataplane/process.ts";
import type { WorkerTable } from "../../src/steering/worker_table.ts";
import { type Fate, FATES } from "./fates.ts";

/** Where the frame is in memory: there is room for headers in front of it. */
const AT = 512;
/** Bytes of the largest frame that can be copied. */
const LARGEST = 1792;

/** Keeps what leaves by another interface than it came by. */
export class SentFrames implements Egress {
  readonly list: { readonly by: number; readonly bytes: Uint8Array }[] = [];
  /** False: nothing can be sent. */
  room = true;

  largest(): number {
    return LARGEST;
  }

  isOpen(): boolean {
    return true;
  }

  send(by: number, view: DataView, addr: number, length: number): boolean {
    if (this.room) this.list.push({ by, bytes: new Uint8Array(view.buffer).slice(addr, addr + length) });
    return this.room;
  }
}

export interface OneFrameOptions {
  readonly workerTable: WorkerTable;
  readonly forwarder: Forwarder;
  /** What the forwarder sends by. */
  readonly egress: SentFrames;
  readonly ruleSlots: number;
  /** Where the frame may be counted. */
  readonly rows: readonly number[];
  /** The interface that the frame comes by. */
  readonly from: number;
  /** Default 1. */
  readonly txRoom?: number | undefined;
}

export interface Passed {
  readonly fate: Fate;
  /** Where it is counted. */
  readonly row: number;
  /** The frame that was sent, and by which interface; undefined: none was. */
  readonly sent: Uint8Array | undefined;
  readonly by: number | undefined;
}

/** Puts one frame through; checks that it has one fate in one of the rows, and is counted as received there. */
export function passOne(frame: Uint8Array, options: OneFrameOptions): Passed {
  const { workerTable, forwarder, egress, ruleSlots, rows, from, txRoom = 1 } = options;
  const memory = new Uint8Array(8192);
  memory.set(frame, AT);
  const batch = new Batch();
  batch.count = 1;
  batch.addr[0] = AT;
  batch.length[0] = frame.length;
  const counters = WorkerCounters.create(ruleSlots, 1);
  const { values } = counters;
  egress.list.length = 0;
  processBatch(
    new DataView(memory.buffer),
    batch,
    workerTable,
    values,
    counters.receivedAt(0),
    txRoom,
    forwarder,
    from,
  );
  const allRows = Array.from({ length: 2 * ruleSlots }, (_, row) => row); // of both directions
  const counted = FATES.flatMap((fate, number) =>
    allRows.flatMap((row) => Array<[Fate, number]>(counters.packets(row, number)).fill([fate, row]))
  );
  assert.equal(counted.length, 1, "one fate");
  const [fate, row] = counted[0]!;
  assert.ok(rows.includes(row), `${fate} in row ${row}`);
  assert.equal(counters.received(0, row), 1, "where it is counted as received, too");
  if (batch.disposal[0] !== DISPOSAL.transmit) {
    const [copied] = egress.list;
    return { fate, row, sent: copied?.bytes, by: copied?.by };
  }
  return { fate, row, sent: memory.slice(batch.addr[0]!, batch.addr[0]! + batch.length[0]!), by: from };
}
