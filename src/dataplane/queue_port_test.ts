import assert from "node:assert/strict";
import { FakeRing } from "../../tests/support/fake_kernel.ts";
import { ChunkExchange, createQueueState } from "../xsk/chunks.ts";
import { REST, restOf } from "./queue_port.ts";

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
