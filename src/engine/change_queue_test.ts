import assert from "node:assert/strict";
import { ChangeQueue } from "./change_queue.ts";

Deno.test("ChangeQueue.run() runs one after the other, a failure among them or not", async () => {
  const queue = new ChangeQueue();
  const events: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = queue.run(async () => {
    events.push("first begins");
    await gate.promise;
    events.push("first ends");
    return 1;
  });
  const second = queue.run(() => {
    events.push("second");
    return Promise.reject(new Error("second fails"));
  });
  const third = queue.run(() => Promise.resolve(void events.push("third")));
  assert.deepEqual(events, []);
  gate.resolve();
  assert.equal(await first, 1);
  await assert.rejects(second, { message: "second fails" });
  await third;
  await queue.idle;
  assert.deepEqual(events, ["first begins", "first ends", "second", "third"]);
});
