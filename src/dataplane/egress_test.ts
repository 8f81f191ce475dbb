import assert from "node:assert/strict";
import { FakeQueue, type FakeQueueOptions } from "../../tests/support/fake_queue.ts";
import { CopyingEgress, type EgressEnd } from "./egress.ts";

/** A end that only notes what it is asked. */
class NotingEnd implements EgressEnd {
  readonly copied: number[] = [];
  readonly isOpen: boolean = true;
  submitted = 0;

  constructor(readonly largestCopy: number, private readonly hasRoom = true) {}

  copyIn(_umem: DataView, addr: number): boolean {
    if (this.hasRoom) this.copied.push(addr);
    return this.hasRoom;
  }

  submitCopied(): void {
    this.submitted++;
  }
}

const UMEM = new DataView(new ArrayBuffer(8192));

Deno.test("CopyingEgress sends to the interface it is told, and workers take its queues in turn", () => {
  for (let worker = 0; worker < 5; worker++) {
    const ends = [1, 2, 3, 4, 5].map((size) => new NotingEnd(size));
    const egress = new CopyingEgress(ends, [0, 0, 1, 1, 1], worker);
    assert.ok(egress.send(1, UMEM, 700, 60));
    assert.ok(egress.send(0, UMEM, 800, 60));
    const first = worker % 2;
    const second = 2 + worker % 3;
    assert.deepEqual(
      ends.map(({ copied }) => copied),
      ends.map((_, index) => index === first ? [800] : index === second ? [700] : []),
      `worker ${worker}`,
    );
    assert.deepEqual([egress.largest(0), egress.largest(1)], [1 + first, 1 + second]);
  }
});

Deno.test("CopyingEgress sends nothing to an interface without a queue end, whatever its size", () => {
  const ends = [new NotingEnd(1792), new NotingEnd(1792)];
  const egress = new CopyingEgress(ends, [0, 2], 3);
  assert.equal(egress.largest(1), 0x7fffffff);
  assert.equal(egress.send(1, UMEM, 700, 60), false);
  assert.deepEqual(ends.map(({ copied }) => copied), [[], []]);
  egress.submit();
  assert.deepEqual(ends.map(({ submitted }) => submitted), [1, 1]);
});

Deno.test("CopyingEgress says so when a end has no room", () => {
  assert.equal(new CopyingEgress([new NotingEnd(1792, false)], [0], 0).send(0, UMEM, 700, 60), false);
});

/** An egress over one queue, and frames in a UMEM of another. */
function overQueue(options: FakeQueueOptions): { egress: CopyingEgress; queue: FakeQueue } {
  const queue = new FakeQueue(options);
  return { egress: new CopyingEgress([queue.sockets[0]!.port], [0], 0), queue };
}

Deno.test("CopyingEgress hands copies to the kernel by batch, in order", () => {
  const { egress, queue } = overQueue({ chunks: 64, reserve: 32 });
  const umem = new DataView(Uint8Array.from({ length: 8192 }, (_, index) => index % 251).buffer);
  for (const addr of [256, 2304, 4353]) assert.ok(egress.send(0, umem, addr, 60));
  assert.equal(queue.sockets[0]!.tx.held, 0);
  egress.submit();
  assert.deepEqual(
    queue.transmit(),
    [256, 2304, 4353].map((addr) => new Uint8Array(umem.buffer).slice(addr, addr + 60)),
  );
  egress.submit();
  assert.deepEqual(queue.transmit(), []);
});

Deno.test("CopyingEgress refuses a frame that is larger than a chunk has room for", () => {
  const { egress, queue } = overQueue({ chunks: 64, reserve: 32 });
  assert.equal(egress.largest(0), 1792);
  assert.ok(egress.send(0, UMEM, 256, 1792));
  assert.equal(egress.send(0, UMEM, 256, 1793), false);
  egress.submit();
  assert.equal(queue.transmit().length, 1);
});

for (
  const [what, options, room] of [
    ["chunks that it may take", { chunks: 64, reserve: 16 }, 16],
    ["entries of the tx ring", { chunks: 64, reserve: 32, tx: 8 }, 8],
  ] as const
) {
  Deno.test(`CopyingEgress refuses what is more than there are ${what}, until the kernel has sent`, () => {
    const { egress, queue } = overQueue(options);
    for (let round = 0; round < 3; round++) {
      let sent = 0;
      while (egress.send(0, UMEM, 256, 60)) sent++;
      assert.equal(sent, room);
      egress.submit();
      assert.equal(egress.send(0, UMEM, 256, 60), false);
      assert.equal(queue.transmit().length, room);
    }
    assert.deepEqual(queue.takeAllChunks(), Array.from({ length: 64 }, (_, chunk) => chunk));
  });
}
