/** What goes from one process to the next: messages with descriptors, and memory. */
import assert from "node:assert/strict";
import { Channel } from "../../src/ffi/channel.ts";
import { openSocketPair } from "../../src/ffi/libc.ts";
import { SharedMemory } from "../../src/ffi/shared_memory.ts";

const OPTIONS = { name: "numbers", shape: "numbers", bytes: 8192 };
/** Far longer than anything takes here. */
const LONG_MS = 60_000;

async function connected(use: (one: Channel, other: Channel) => Promise<void>): Promise<void> {
  const [one, other] = openSocketPair().map((fd) => new Channel(fd)) as [Channel, Channel];
  try {
    await use(one, other);
  } finally {
    await one.close();
    await other.close();
  }
}

Deno.test("a channel carries messages of any size, with as many descriptors as there are", () =>
  connected(async (one, other) => {
    using memory = SharedMemory.create(OPTIONS);
    new Int32Array(memory.view())[7] = 42;
    for (const [length, count] of [[0, 0], [5, 1], [4080, 2], [100_000, 0], [3_000_000, 700]] as const) {
      const text = "ä".repeat(length / 2) + "x".repeat(length % 2);
      one.send(text, new Array(count).fill(memory.fd));
      const message = await other.receive(LONG_MS);
      assert.equal(message?.text, text);
      assert.equal(message.fds.length, count);
      for (const fd of message.fds) {
        using adopted = SharedMemory.adopt(fd, OPTIONS);
        assert.equal(new Int32Array(adopted.view())[7], 42);
      }
    }
  }));

Deno.test("a channel tells that nothing comes, and that the other end is closed", () =>
  connected(async (one, other) => {
    assert.equal(await other.receive(5), undefined);
    const waiting = other.receive(LONG_MS);
    one.send("last");
    await one.close();
    assert.equal((await waiting)?.text, "last");
    assert.equal(await other.receive(LONG_MS), undefined);
    assert.throws(() => other.send("nobody"), /EPIPE/);
  }));

Deno.test("memory of another size or layout is refused, and so is what is no such memory", () =>
  connected(async (one, other) => {
    using memory = SharedMemory.create(OPTIONS);
    const adopt = async (options: typeof OPTIONS, fd = memory.fd): Promise<void> => {
      one.send("", [fd]);
      const { fds } = (await other.receive(LONG_MS))!;
      SharedMemory.adopt(fds[0]!, options).close();
    };
    await adopt(OPTIONS);
    await assert.rejects(adopt({ ...OPTIONS, bytes: 4096 }), /has 12288 bytes: expected 8192/);
    await assert.rejects(adopt({ ...OPTIONS, shape: "other numbers" }), /another layout/);
    new DataView(memory.view()).setInt32(0, 7);
    await adopt(OPTIONS);
    await assert.rejects(adopt(OPTIONS, 2), /has .* bytes/);
  }));
