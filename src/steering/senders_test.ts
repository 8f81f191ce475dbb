import assert from "node:assert/strict";
import { compareSenders, type Sender } from "./senders.ts";

const sender = (prefix: string, packets: number, more: Partial<Sender> = {}): Sender => ({
  ...{ prefix, rule: 1, packets, inherited: 0, bytes: packets * 100 },
  ...more,
});

Deno.test("compareSenders() adds up what each source sent on all CPUs, most first", () => {
  const before = [[sender("c0000201", 10)], [sender("c0000201", 5), sender("20010db800000001", 7)]];
  const now = [[sender("c0000201", 15)], [sender("c0000201", 6), sender("20010db800000001", 107)]];
  assert.deepEqual(compareSenders(before, now), {
    packets: 5 + 1 + 100,
    senders: [
      { source: "2001:db8:0:1::/64", rule: 1, packets: 100, bytes: 10_000 },
      { source: "192.0.2.1", rule: 1, packets: 6, bytes: 600 },
    ],
  });
});

Deno.test("compareSenders() tells the same source apart by rules, and leaves out who has sent nothing", () => {
  const before = [[sender("c0000201", 10)]];
  const now = [[sender("c0000201", 10), sender("c0000201", 3, { rule: 2 })]];
  assert.deepEqual(compareSenders(before, now).senders, [{ source: "192.0.2.1", rule: 2, packets: 3, bytes: 300 }]);
});

Deno.test("compareSenders() does not give a source the packets of those whose place it took", () => {
  const before = [[sender("c0000201", 10)]];
  const now = [[sender("c0000202", 14, { inherited: 11, bytes: 300 })]];
  const { packets, senders } = compareSenders(before, now);
  assert.equal(packets, 4, "one of the other was sent before its place was taken");
  assert.deepEqual(senders, [{ source: "192.0.2.2", rule: 1, packets: 3, bytes: 300 }]);
  const again = [[sender("c0000201", 16, { inherited: 15, bytes: 100 })]];
  assert.deepEqual(compareSenders(now, again).senders, [{ source: "192.0.2.1", rule: 1, packets: 1, bytes: 100 }]);
});
