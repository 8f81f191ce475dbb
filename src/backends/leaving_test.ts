/**
 * Backends that the rules do not name any more: looked after while sessions use them, forgotten completely afterwards.
 */
import assert from "node:assert/strict";
import { FakePortTable } from "../../tests/support/fake_engine.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { forwardRule, SteeringRig } from "../../tests/support/steering_rig.ts";
import { BACKEND, BACKEND_ROWS, backendAt, usableAt } from "../steering/forward_table.ts";

type Rig = SteeringRig<FakePortTable>;
const CHECK = ", health: { check: udp }";
const ONE = "10.9.0.1:9000";
const ROW_ONE = 1;
const TICK_MS = 500;

/** A rule has had two backends and now has the second; sessions are left with the first. */
async function newRig(more = ""): Promise<Rig> {
  const rig = new SteeringRig(new FakePortTable());
  await rig.change(forwardRule("web", 8080, [1, 2], CHECK + more));
  rig.workers.sessionsOfRow.set(ROW_ONE, 5);
  await rig.change(forwardRule("web", 8080, [2], CHECK + more));
  await rig.timers.pass(TICK_MS);
  return rig;
}

const generationOf = ({ forwardTable: { backends } }: Rig, row: number): number =>
  backends[backendAt(row) + BACKEND.generation]!;
/** Rows of backends in force. */
function* rowsOf({ forwardTable: { backends } }: Rig): Generator<{ readonly row: number }> {
  for (let row = 1; row < BACKEND_ROWS; row++) if (backends[backendAt(row) + BACKEND.generation] !== 0) yield { row };
}
const namesOf = (rig: Rig): string[] => rig.forwarding.status().map(({ name }) => name).sort();
const leaving = (rig: Rig): unknown => rig.forwarding.status().find(({ name }) => name === ONE);

Deno.test("a backend that leaves keeps its row, its checks and its way while sessions use it", async () => {
  await using rig = await newRig();
  assert.ok(generationOf(rig, ROW_ONE) > 0);
  assert.ok(rig.health!.checked.includes(ONE));
  assert.partialDeepStrictEqual(leaving(rig), { rules: [], sessions: 5, health: { healthy: true } });
  assert.equal(rig.forwardTable.usable[usableAt(0) + ROW_ONE], 1);
  await rig.timers.pass(60_000);
  assert.partialDeepStrictEqual(leaving(rig), { leavingSeconds: 61 });
});

Deno.test("a backend that leaves is forgotten when no session uses it: no row, no check, no neighbour is asked for", async () => {
  await using rig = await newRig();
  rig.workers.sessionsOfRow.set(ROW_ONE, 0);
  await rig.timers.pass(TICK_MS);
  assert.deepEqual(namesOf(rig), ["10.9.0.2:9000"]);
  assert.deepEqual(rig.health!.checked, ["10.9.0.2:9000"]);
  assert.equal(generationOf(rig, ROW_ONE), 0);
  const { provoked } = rig.nextHops!;
  await rig.timers.pass(TICK_MS);
  assert.equal(rig.nextHops!.provoked - provoked, 1);
});

Deno.test("a backend that leaves and fails loses its sessions at once", async () => {
  await using rig = await newRig();
  rig.health!.set(ONE, false);
  await rig.timers.pass(TICK_MS);
  assert.equal(generationOf(rig, ROW_ONE), 0);
  assert.deepEqual(namesOf(rig).length, 2, "its row is kept until the workers have ended the sessions");
  rig.workers.sessionsOfRow.set(ROW_ONE, 0);
  await rig.timers.pass(TICK_MS);
  assert.deepEqual(namesOf(rig), ["10.9.0.2:9000"]);
});

Deno.test("a backend that leaves and has no route any more gives its sessions away with their next packets", async () => {
  await using rig = await newRig();
  const mayUse = (): number => rig.forwardTable.usable[usableAt(0) + ROW_ONE]!;
  for (const [mac, usable] of [[null, 0], ["02:00:00:00:00:04", 1], [null, 0]] as const) {
    rig.nextHops!.change("10.9.0.1", mac);
    await rig.timers.pass(5);
    assert.equal(mayUse(), usable);
  }
  assert.ok(generationOf(rig, ROW_ONE) > 0, "answers that are under way arrive");
});

for (const seconds of [0, 30]) {
  Deno.test(`a backend that leaves loses its sessions after drain_timeout: ${seconds} s`, async () => {
    await using rig = await newRig(`, drain_timeout: ${seconds}`);
    if (seconds > 0) {
      assert.ok(generationOf(rig, ROW_ONE) > 0);
      await rig.timers.pass(seconds * 1000);
    }
    assert.equal(generationOf(rig, ROW_ONE), 0);
  });
}

Deno.test("a backend that comes back while it leaves goes on as if it had never been away", async () => {
  await using rig = await newRig();
  const generation = generationOf(rig, ROW_ONE);
  await rig.change(forwardRule("web", 8080, [1, 2], CHECK));
  assert.equal(generationOf(rig, ROW_ONE), generation);
  assert.partialDeepStrictEqual(leaving(rig), { rules: ["web"], leavingSeconds: null });
});

Deno.test("a row is given to another backend only when it is free, with another generation", async () => {
  await using rig = await newRig();
  const generation = generationOf(rig, ROW_ONE);
  for (let change = 0; change < 20; change++) {
    await rig.change(forwardRule("web", 8080, [2], CHECK), forwardRule("other", 53, [10 + change]));
  }
  assert.equal(generationOf(rig, ROW_ONE), generation, "sessions still use it");
  rig.workers.sessionsOfRow.set(ROW_ONE, 0);
  await rig.timers.pass(TICK_MS);
  await rig.change(forwardRule("web", 8080, [2, 99], CHECK));
  assert.ok(generationOf(rig, ROW_ONE) > generation);
  assert.deepEqual(rig.backendsOf("web"), ["10.9.0.2", "10.9.0.99"]);
});

Deno.test("many changes in a row: sessions of those that have been leaving for longest end before rows run out", async () => {
  await using rig = new SteeringRig(new FakePortTable());
  rig.workers.sessionsWith = () => 1;
  for (let change = 0; change < 40; change++) {
    const hosts = Array.from({ length: 100 }, (_, host) => change * 100 + host);
    const to = JSON.stringify(hosts.map((host) => `10.8.${host >> 8}.${host & 255}:9000`));
    await rig.change(`{ name: web, ports: 8080, action: { forward: { to: ${to} } } }`);
    rig.workers.sessionsWith = (row) => generationOf(rig, row) === 0 ? 0 : 1; // workers end what they are to end
    await rig.timers.pass(2 * TICK_MS);
  }
  assert.ok(rig.forwarding.status().length <= 1900);
});

Deno.test("changes in quick succession: backends that no session uses make room at once, the others are counted", async () => {
  await using rig = new SteeringRig(new FakePortTable());
  const change = (number: number): Promise<unknown> =>
    rig.apply(...[0, 1, 2, 3].map((rule) => {
      const to = Array.from({ length: 250 }, (_, host) => `10.${number}.${rule}.${host}:9000`);
      return `{ name: r${rule}, ports: ${rule + 1}, action: { forward: { to: ${JSON.stringify(to)} } } }`;
    }));
  for (let number = 1; number <= 4; number++) await change(number);
  assert.equal(rig.steering.generation, 4);
  for (const { row } of [...rowsOf(rig)].slice(0, 60)) rig.workers.sessionsOfRow.set(row, 1);
  await assert.rejects(
    change(5),
    /no room for 1000 backends beside 1000 others in force: sessions still use 60 backends of before$/,
  );
  rig.workers.sessionsOfRow.clear();
  await change(5);
  assert.equal(rig.steering.generation, 5);
});

Deno.test("one backend in two rules with different checks: each rule goes by its own", async () => {
  await using rig = new SteeringRig(new FakePortTable());
  await rig.change(
    forwardRule("web", 8080, [1, 2], CHECK),
    forwardRule("dns", 53, [1, 2], ", health: { check: icmp }"),
  );
  const [web, dns] = [0, 1].map((forward) => () => rig.forwardTable.usable[usableAt(forward) + ROW_ONE]);
  assert.deepEqual([web!(), dns!()], [1, 1]);
  rig.health!.setCheck(ONE, "udp", false);
  await rig.timers.pass(5);
  assert.deepEqual([web!(), dns!()], [0, 1]);
  assert.deepEqual(rig.backendsOf("web"), ["10.9.0.2"]);
  assert.deepEqual(rig.backendsOf("dns"), ["10.9.0.1", "10.9.0.2"]);
  const [one, two] = rig.forwarding.status();
  const found = one!.findings.map(({ rules, healthy }) => [rules, healthy]);
  assert.deepEqual([found, two!.findings], [[[["web"], false], [["dns"], true]], []]);
});

Deno.test("refused sessions are told of at once, with what helps, and then once a minute", async () => {
  using log = new LogRecords();
  await using rig = await newRig();
  const told = (): string[] => log.lines.filter((line) => line.includes("refused"));
  assert.deepEqual(told(), []);
  rig.workers.refused = { rows: 0, ports: 7, backends: 0 };
  await rig.timers.pass(TICK_MS);
  assert.equal(told().length, 1);
  assert.match(told()[0]!, /^warning: .* 7 since last told: each translation port .*forwarding\.addresses/);
  rig.workers.refused = { rows: 3, ports: 9, backends: 0 };
  await rig.timers.pass(30_000);
  assert.equal(told().length, 2, "of rows for the first time");
  assert.match(told()[1]!, / 3 since last told: .*forwarding\.sessions/);
  await rig.timers.pass(30_000);
  assert.match(told()[2]!, / 2 since last told: each translation port/);
  await rig.timers.pass(120_000);
  assert.equal(told().length, 3, "nothing more was refused");
});

Deno.test("of 230 backends that are gone none is checked, and no neighbour is asked for", async () => {
  await using rig = new SteeringRig(new FakePortTable());
  const hosts = Array.from({ length: 230 }, (_, host) => 10 + host);
  await rig.change(forwardRule("web", 8080, [1, ...hosts], CHECK));
  await rig.change(forwardRule("web", 8080, [1], CHECK));
  await rig.timers.pass(TICK_MS);
  assert.deepEqual([namesOf(rig), rig.health!.checked], [[ONE], [ONE]]);
  const { provoked } = rig.nextHops!;
  await rig.timers.pass(10 * TICK_MS);
  assert.equal(rig.nextHops!.provoked - provoked, 10, "of the one that is left");
});

Deno.test("a backend with sessions keeps its row through 17 reloads of another rule's 60 backends, whose rows are reused", async () => {
  await using rig = await newRig();
  const generation = generationOf(rig, ROW_ONE);
  const rowsOf = (): number => rig.forwarding.status().length;
  for (let change = 0; change < 17; change++) {
    const hosts = Array.from({ length: 60 }, (_, host) => 10 + (change % 4) * 60 + host);
    await rig.change(forwardRule("web", 8080, [2], CHECK), forwardRule("other", 53, hosts));
    await rig.timers.pass(TICK_MS);
    assert.equal(generationOf(rig, ROW_ONE), generation);
    assert.equal(rowsOf(), 62);
  }
});
