import assert from "node:assert/strict";
import { FakeRing } from "../../tests/support/fake_kernel.ts";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import { ChunkExchange, createQueueState } from "../xsk/chunks.ts";
import { REST, restOf } from "./queue_end.ts";

for (const chunkSize of [2048, 4096]) {
  Deno.test(`copyIn() writes into one chunk of ${chunkSize} bytes only, and refuses what does not fit it`, () => {
    const from = new Uint8Array(16384).map((_, index) => 1 + index % 251);
    const view = new DataView(from.buffer);
    for (const length of [14, 60, 61, chunkSize - 257, chunkSize - 256, chunkSize - 255, chunkSize, 9000]) {
      for (let skew = 0; skew < 4; skew++) {
        const queue = new FakeQueue({ chunks: 16, chunkSize, reserve: 8 });
        const { memory, sockets: [socket] } = queue;
        const { port: target, tx } = socket!;
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
