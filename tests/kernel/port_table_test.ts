import assert from "node:assert/strict";
import { ACTION, ADDRESS_SET, CONTROL, LIMIT, PORT_ENTRY, PORT_FLAG, REASON } from "../../src/bpf/layout.gen.ts";
import { readPortTable } from "../../src/bpf/port_table.ts";
import type { SteeringProgram } from "../../src/bpf/program.ts";
import { lookupElement, updateElement } from "../../src/ffi/libbpf.ts";
import { PORT_ACTION, PORT_COUNT, type PortMap, type PortOwner } from "../../src/steering/port_map.ts";
import { ipv4, LISTED } from "./steer_frames.ts";
import type { TestRunJob } from "./test_run_worker.ts";
import { portMap, VerdictRig } from "./verdict_rig.ts";

const FRAME = ipv4().bytes;

/** Which half of the table the kernel says is in force. */
function activeTable(program: SteeringProgram): number {
  const control = new Uint8Array(CONTROL.size);
  assert.equal(lookupElement(program.controlFd, new Uint8Array(4), control), 0);
  return new DataView(control.buffer).getUint32(CONTROL.activeTable, true);
}

/** The half in force as the kernel has it, read by a system call and not through the mapping it was written by. */
function readTable(program: SteeringProgram): DataView {
  const { buffer, byteOffset, byteLength } = readPortTable(program.portTableFd, activeTable(program));
  return new DataView(buffer, byteOffset, byteLength);
}

/** A map of ranges of all lengths up to 300, in which neighbours differ and every field has every size of number. */
function motley(): PortMap {
  const actions = [undefined, ...Object.values(PORT_ACTION)];
  const map: PortOwner[] = [];
  let first = 0;
  for (let turn = 0; first < PORT_COUNT; turn++) {
    const last = Math.min(first + turn % 300, PORT_COUNT - 1);
    const action = actions[turn % actions.length];
    if (action !== undefined) {
      const flags = { errors: turn % 2 === 0, dropsFragments: turn % 3 === 0 };
      map.push({
        first,
        last,
        addresses: turn % 5 === 0 ? "any" : "own",
        action,
        ...flags,
        rule: (turn * 7) % LIMIT.RULE_SLOTS,
        worker: (turn * 13) % 64,
      });
    }
    first = last + 1;
  }
  return map;
}

Deno.test("PortTable.prepare() writes every port as the kernel then reads it", async () => {
  await using rig = await VerdictRig.load();
  const map = motley();
  await rig.put(map, 1);
  const kernel = readTable(rig.program);
  const actions = [ACTION.PASS, ACTION.DROP, ACTION.REDIRECT, ACTION.SPREAD, ACTION.DELIVER];
  const owners: (PortOwner | undefined)[] = Array(PORT_COUNT).fill(undefined);
  for (const owner of map) owners.fill(owner, owner.first, owner.last + 1);
  for (let port = 0; port < PORT_COUNT; port++) {
    const at = port * PORT_ENTRY.size;
    const owner = owners[port];
    const entry = {
      action: kernel.getUint8(at + PORT_ENTRY.action),
      errors: (kernel.getUint8(at + PORT_ENTRY.flags) & PORT_FLAG.ERRORS) !== 0,
      dropsFragments: (kernel.getUint8(at + PORT_ENTRY.flags) & PORT_FLAG.DROP_FRAGMENTS) !== 0,
      rule: kernel.getUint16(at + PORT_ENTRY.rule, true),
      worker: kernel.getUint8(at + PORT_ENTRY.worker),
      addresses: kernel.getUint8(at + PORT_ENTRY.addresses),
    };
    assert.deepEqual(entry, {
      action: owner === undefined ? ACTION.NONE : actions[owner.action],
      errors: owner?.errors ?? false,
      dropsFragments: owner?.dropsFragments ?? false,
      rule: owner?.rule ?? 0,
      worker: owner?.worker ?? 0,
      addresses: owner?.addresses === "any" ? ADDRESS_SET.ANY : ADDRESS_SET.OWN,
    }, `port ${port}`);
  }
});

Deno.test("PortTable.prepare() puts the other half in force each time", async () => {
  await using rig = await VerdictRig.load();
  assert.equal(rig.table.generation, 0);
  assert.equal(rig.run(FRAME), "UNLISTED_PORT");
  const before = activeTable(rig.program);
  await rig.put(portMap({ [LISTED]: { action: "redirect" } }), 1);
  assert.equal(activeTable(rig.program), 1 - before);
  assert.equal(rig.table.generation, 1);
  assert.equal(rig.run(FRAME), "STEERED");
  await rig.put(portMap({ [LISTED]: { action: "drop" } }), 2);
  assert.equal(activeTable(rig.program), before);
  assert.equal(rig.table.generation, 2);
  assert.equal(rig.run(FRAME), "RULE_DROP");
});

Deno.test("PortTable.prepare() leaves nothing of a port that is no longer listed", async () => {
  await using rig = await VerdictRig.load();
  const empty: PortMap = [];
  // Twice each, so that both halves have held the port.
  for (const [index, map] of [motley(), motley(), empty, empty].entries()) await rig.put(map, index + 1);
  assert.equal(rig.run(FRAME), "UNLISTED_PORT");
  assert.ok(new Uint8Array(readTable(rig.program).buffer).every((byte) => byte === 0));
});

Deno.test("PortTable.prepare() changes nothing before the flip, and a flip that is undone leaves what was in force", async () => {
  await using rig = await VerdictRig.load();
  await rig.put(portMap({ [LISTED]: { action: "drop" } }), 1);
  const before = activeTable(rig.program);
  const given = await rig.table.prepare(portMap({ [LISTED]: { action: "pass" } }), 2);
  assert.equal(rig.run(FRAME), "RULE_DROP");
  given.flip();
  given.back();
  assert.deepEqual([activeTable(rig.program), rig.table.generation, rig.run(FRAME)], [before, 1, "RULE_DROP"]);
  await rig.table.prepare(portMap({ [LISTED]: { action: "pass" } }), 2); // given up
  await rig.put(portMap({ [LISTED]: { action: "redirect" } }), 2);
  assert.deepEqual([rig.table.generation, rig.run(FRAME)], [2, "STEERED"]);
});

Deno.test("PortTable.prepare() flips under load, and no packet sees half of two tables", async () => {
  await using rig = await VerdictRig.load();
  // Rule 1 only ever passes, rule 2 only ever drops: a mixture would count in another column, or be unlisted.
  const tables = [
    portMap({ [LISTED]: { action: "pass", rule: 1 } }),
    portMap({ [LISTED]: { action: "drop", rule: 2 } }),
  ];
  await rig.put(tables[0]!, 1);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("./test_run_worker.ts", import.meta.url), { type: "module" });
  const answer = (): Promise<MessageEvent> =>
    new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = reject;
    });
  try {
    const running = answer();
    worker.postMessage({ program: rig.program.fd, frame: FRAME, stop } satisfies TestRunJob);
    await running;
    for (let flip = 1; flip <= 100; flip++) await rig.put(tables[flip % 2]!, flip + 1);
    const finished = answer();
    Atomics.store(stop, 0, 1);
    const { data: { runs, failures } } = await finished;

    assert.equal(failures, 0);
    const { seen, byReason } = rig.counters();
    assert.equal(seen, runs);
    const [passed, dropped] = [byReason[REASON.RULE_PASS]!, byReason[REASON.RULE_DROP]!];
    assert.equal(passed + dropped, runs);
    assert.ok(passed > 0 && dropped > 0, "packets were decided by both tables");
    assert.deepEqual([...rig.program.readRuleCounters(1).subarray(0, 6)], [0, 0, 0, 0, passed, passed * FRAME.length]);
    assert.deepEqual([...rig.program.readRuleCounters(2).subarray(0, 6)], [
      0,
      0,
      dropped,
      dropped * FRAME.length,
      0,
      0,
    ]);
  } finally {
    Atomics.store(stop, 0, 1);
    worker.terminate();
  }
});

Deno.test("SteeringProgram.load() with shareWith flips all instances at once and counts apart", async () => {
  await using first = await VerdictRig.load();
  await using second = await VerdictRig.load({ workers: 2, covered: [0], shareWith: first });
  for (const action of ["redirect", "drop", "pass"] as const) {
    await first.put(portMap({ [LISTED]: { action, rule: 1 } }), 1);
    assert.equal(first.run(FRAME), second.run(FRAME));
  }
  // The second has a table object of its own for the same memory.
  await second.put(portMap({ [LISTED]: { action: "redirect", rule: 1, worker: 1 } }), 2);
  assert.equal(first.table.generation, 2);
  assert.equal(second.run(FRAME), "UNCOVERED_QUEUE");
  assert.equal(first.counters().seen, 3);
  assert.equal(second.counters().seen, 4);
});

Deno.test("SteeringProgram.load() with shareWith keeps the table when the first instance is gone", async () => {
  const first = await VerdictRig.load();
  await using second = await VerdictRig.load({ shareWith: first });
  await first.put(portMap({ [LISTED]: { action: "drop" } }), 1);
  await first[Symbol.asyncDispose]();
  assert.equal(second.run(FRAME), "RULE_DROP");
  await second.put(portMap({ [LISTED]: { action: "redirect" } }), 2);
  assert.equal(second.run(FRAME), "STEERED");
});

Deno.test("PortTable.repair() writes again what somebody else has changed, and nothing else", async () => {
  await using rig = await VerdictRig.load();
  const { program, table } = rig;
  assert.deepEqual(table.repair(), { control: undefined, ports: undefined });
  await rig.put(motley(), 1);
  await rig.put(portMap({ [LISTED]: { action: "redirect" } }), 2);
  const wanted = new Uint8Array(readTable(program).buffer).slice();

  // As bpftool does: by a system call, and not through the mapping.
  const all = new Uint8Array(LIMIT.PORT_TABLES * PORT_COUNT * PORT_ENTRY.size);
  assert.equal(lookupElement(program.portTableFd, new Uint8Array(4), all), 0);
  const half = activeTable(program) * PORT_COUNT * PORT_ENTRY.size;
  all[half + LISTED * PORT_ENTRY.size + PORT_ENTRY.action] = ACTION.DROP;
  all[half + (LISTED + 9) * PORT_ENTRY.size + PORT_ENTRY.action] = ACTION.DROP;
  assert.equal(updateElement(program.portTableFd, new Uint8Array(4), all), 0);
  assert.equal(rig.run(FRAME), "RULE_DROP");
  assert.deepEqual(table.repair(), { control: undefined, ports: `the entries of 2 ports from ${LISTED} on` });
  assert.equal(rig.run(FRAME), "STEERED");
  assert.deepEqual(new Uint8Array(readTable(program).buffer), wanted);

  const control = new Uint8Array(CONTROL.size);
  new DataView(control.buffer).setUint32(CONTROL.activeTable, 1 - activeTable(program), true);
  assert.equal(updateElement(program.controlFd, new Uint8Array(4), control), 0);
  const found = table.repair();
  assert.match(found.control!, /^half of the port table [01] instead of [01], generation 0 instead of 2$/);
  assert.equal(found.ports, undefined);
  assert.equal(rig.run(FRAME), "STEERED");
  assert.deepEqual(table.repair(), { control: undefined, ports: undefined });
  // A change goes on from what is in force, and not from what was found.
  await rig.put(portMap({ [LISTED]: { action: "drop" } }), 3);
  assert.equal(rig.run(FRAME), "RULE_DROP");
  assert.deepEqual(table.repair(), { control: undefined, ports: undefined });
});
