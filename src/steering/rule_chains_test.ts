import assert from "node:assert/strict";
import fc from "fast-check";
import { parseAddress } from "../packet/address.ts";
import { type Addresses, isWithin, parsePrefix } from "./addresses.ts";
import { compileWorkerTable } from "./compile.ts";
import type { Rule } from "./rule.ts";
import { ruleByAddress } from "./rule_chains.ts";
import { CHAINED, createWorkerTables, viewWorkerTables, type WorkerTable } from "./worker_table.ts";

const rule = (name: string, addresses: Addresses, first = 53, last = first): Rule => ({
  ...{ name, addresses, worker: 0, fragments: "drop" },
  ports: [{ first, last }],
  action: { kind: "count" },
});

function slotOf(table: WorkerTable, port: number, address: string): number {
  const entry = table.ruleOfPort[port]!;
  const bytes = parseAddress(address);
  const view = new DataView(new ArrayBuffer(24));
  new Uint8Array(view.buffer).set(bytes, 3); // where it stands in a packet is nothing even
  return entry < CHAINED ? entry : ruleByAddress(table, entry, view, 3, bytes.length === 16);
}

/** Disjoint lists, and addresses in and around them. */
const LISTS: readonly (readonly string[])[] = [
  ["10.1.0.0/16", "2001:db8:1::/48"],
  ["10.2.0.1", "10.2.0.2", "2001:db8:2::1"],
  ["10.2.0.128/25", "2001:db8:2::8000/113"],
  ["192.0.2.0/31", "::/16"],
];
const PROBES = [
  ...["10.0.255.255", "10.1.0.0", "10.1.255.255", "10.2.0.0", "10.2.0.1", "10.2.0.2", "10.2.0.127", "10.2.0.128"],
  ...[
    "::1",
    "10.2.0.255",
    "192.0.2.0",
    "192.0.2.1",
    "192.0.2.2",
    "2001:db8:1::",
    "2001:db8:1:ffff::1",
    "2001:db8:2::1",
  ],
  ...["2001:db8:2::7fff", "2001:db8:2::8000", "2001:db8:2::ffff", "2001:db8::"],
];

Deno.test("ruleByAddress() finds what a plain search over the lists finds", () => {
  const [first, second] = viewWorkerTables(createWorkerTables(32));
  const some = fc.subarray([0, 1, 2, 3], { minLength: 1 });
  fc.assert(fc.property(fc.shuffledSubarray([0, 1, 2, 3], { minLength: 1 }), some, fc.boolean(), (order, wide, own) => {
    const lists = order.map((number) => rule(`list-${number}`, LISTS[number]!, wide.includes(number) ? 1 : 53, 100));
    const rules = own ? [rule("own", "own", 50, 60), ...lists] : lists;
    compileWorkerTable(second!, first!, rules, rules.map((_, index) => index + 1), new Set());
    for (const port of [1, 49, 50, 53, 60, 61, 100]) {
      const here = rules.map((one, index) => ({ ...one, slot: index + 1 })).filter(({ ports: [range] }) =>
        range!.first <= port && port <= range!.last
      );
      for (const probe of PROBES) {
        const address = { address: parseAddress(probe), bits: parseAddress(probe).length * 8 };
        const listed = here.find(({ addresses }) =>
          typeof addresses !== "string" && addresses.some((text) => isWithin(address, parsePrefix(text)))
        );
        const expected = listed ?? here.find(({ addresses }) => addresses === "own");
        // The XDP program has let nothing else through.
        if (expected !== undefined) assert.equal(slotOf(second!, port, probe), expected.slot, `${probe}:${port}`);
      }
    }
  }));
});

Deno.test("compileWorkerTable() leaves the last of its rules to a port that several had", () => {
  const [first, second] = viewWorkerTables(createWorkerTables(32));
  compileWorkerTable(first!, second!, [rule("own", "own"), rule("list", ["10.0.0.1"])], [1, 2], new Set());
  assert.equal(slotOf(first!, 53, "10.0.0.1"), 2);
  assert.equal(slotOf(first!, 53, "10.0.0.2"), 1);
  compileWorkerTable(second!, first!, [rule("other", "own", 54)], [3], new Set());
  assert.deepEqual([...second!.ruleOfPort.subarray(53, 55)], [1, 3]);
  compileWorkerTable(first!, second!, [rule("other", "own", 54)], [3], new Set([1]));
  assert.deepEqual([...first!.ruleOfPort.subarray(53, 55)], [0, 3]);
});
