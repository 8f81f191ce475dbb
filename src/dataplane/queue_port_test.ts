import assert from "node:assert/strict";
import { FakeRing } from "../../tests/support/fake_kernel.ts";
import { ChunkExchange, createQueueState } from "../xsk/chunks.ts";
import type { RingAddress } from "../xsk/rings.ts";
import { QueuePort, REST, restOf } from "./queue_port.ts";

const CHUNKS = 16;

/** A queue port over plain memory: `memory` has its chunks, `tx` what it sends. */
function copyTarget(chunkSize: number): { target: QueuePort; memory: Uint8Array; tx: FakeRing } {
  const address = (words: ArrayBufferView<ArrayBuffer>): { address: bigint; length: number } => ({
    address: Deno.UnsafePointer.value(Deno.UnsafePointer.of(words)),
    length: words.byteLength,
  });
  const ring = (kind: "desc" | "addr"): FakeRing => new FakeRing(CHUNKS, kind);
  const at = ({ words, layout }: FakeRing): RingAddress => ({
    memory: address(words as Int32Array<ArrayBuffer>),
    layout,
  });
  const memory = new Uint8Array(CHUNKS * chunkSize);
  const [rx, tx, fill, completion] = [ring("desc"), ring("desc"), ring("addr"), ring("addr")];
  const target = new QueuePort({
    interfaceName: "test0",
    queue: 0,
    fd: -1,
    zeroCopy: false,
    rx: at(rx),
    tx: at(tx),
    fill: at(fill),
    completion: at(completion),
    umem: { memory: address(memory), chunkSize, chunks: CHUNKS },
    reserve: 8,
    workers: 1,
    state: createQueueState(CHUNKS),
  });
  target.exchange.seed();
  return { target, memory, tx };
}

for (const chunkSize of [2048, 4096]) {
  Deno.test(`copyIn() writes into one chunk of ${chunkSize} bytes only, and refuses what does not fit it`, () => {
    const from = new Uint8Array(16384).map((_, index) => 1 + index % 251);
    const view = new DataView(from.buffer);
    for (const length of [14, 60, 61, chunkSize - 257, chunkSize - 256, chunkSize - 255, chunkSize, 9000]) {
      for (let skew = 0; skew < 4; skew++) {
        const { target, memory, tx } = copyTarget(chunkSize);
        const addr = 4096 + 256 + skew;
        const fits = length <= chunkSize - 256;
        assert.equal(target.copyIn(view, addr, length), fits, `${length} bytes`);
        target.submitCopied();
        const sent = tx.consume();
        assert.equal(sent !== undefined, fits);
        const start = sent === undefined ? 0 : sent.addr & -chunkSize;
        if (sent !== undefined) {
          assert.equal(sent.length, length);
          assert.ok(sent.addr + length <= start + chunkSize);
          assert.deepEqual(memory.slice(sent.addr, sent.addr + length), from.slice(addr, addr + length));
          memory.fill(0, start, start + chunkSize);
        }
        assert.ok(memory.every((byte) => byte === 0), `${length} bytes at ${skew}: another chunk was written to`);
      }
    }
  });
}

interface Port {
  readonly fill: FakeRing;
  readonly completion: FakeRing;
  readonly exchange: ChunkExchange;
  unsent: boolean;
}

function port(): Port {
  const fill = new FakeRing(16, "addr");
  const completion = new FakeRing(16, "addr");
  const exchange = new ChunkExchange(createQueueState(16), fill.asProducer(), completion.asConsumer(), 2048, 16);
  exchange.seed();
  return { fill, completion, exchange, unsent: false };
}

Deno.test("restOf() goes by how full the fill ring is: of the chunks it could hold, a quarter and three", () => {
  const one = port();
  assert.equal(restOf([one]), REST.full);
  while (one.fill.held > 12) one.fill.consume();
  assert.equal(restOf([one]), REST.full);
  one.fill.consume();
  assert.equal(restOf([one]), REST.limited);
  while (one.fill.held > 4) one.fill.consume();
  assert.equal(restOf([one]), REST.limited);
  one.fill.consume();
  assert.equal(restOf([one]), REST.short);
});

Deno.test("restOf() lets nobody sleep while chunks wait to be moved, and not for long while packets wait to be sent", () => {
  const one = port();
  one.unsent = true;
  assert.equal(restOf([one]), REST.short);
  one.completion.produce(one.fill.consume()!.addr);
  assert.equal(restOf([one]), REST.none);
  assert.ok(one.exchange.exchange());
  one.unsent = false;
  assert.equal(restOf([one]), REST.full);
});

Deno.test("restOf() is what the port allows that allows least, wherever it stands", () => {
  const [full, limited, short, none] = [port(), port(), port(), port()];
  while (limited.fill.held > 8) limited.fill.consume();
  while (short.fill.held > 2) short.fill.consume();
  none.completion.produce(none.fill.consume()!.addr);
  for (
    const [ports, rest] of [
      [[full, limited], REST.limited],
      [[full, limited, short], REST.short],
      [[full, limited, short, none], REST.none],
    ] as const
  ) {
    assert.equal(restOf(ports), rest);
    assert.equal(restOf([...ports].reverse()), rest);
  }
});
