import assert from "node:assert/strict";
import { QUIET_BACKEND } from "../../../tests/support/backend_status.ts";
import { FakeApi } from "../../../tests/support/fake_api.ts";
import { LogRecords } from "../../../tests/support/log_records.ts";
import type { BackendStatus } from "../../backends/status.ts";
import { REFUSED_ROWS_AT } from "../../dataplane/counters.ts";
import { BOUND_WORDS } from "../../steering/sessions.ts";
import type { ProblemKind } from "./kinds.ts";

const kinds = (api: FakeApi): ProblemKind[] => api.problems.list().map(({ kind }) => kind);

function deadBackend(host: number): BackendStatus {
  const rest = { rules: ["dns"], sessions: 0, ...QUIET_BACKEND, health: null, nextHop: null } as const;
  return { name: `10.0.0.${host}:53`, noWay: { kind: "no_route", interface: null, text: "no route" }, ...rest };
}

Deno.test("Problems says since when, the same as long as it lasts, and the log when it begins and is over", async () => {
  using log = new LogRecords();
  using api = new FakeApi();
  await api.timers.pass(5000);
  assert.deepEqual([kinds(api), log.lines], [[], []]);
  const [lo] = api.appliance.interfaces;
  const attached = lo!.condition;
  lo!.condition = { state: "gone", since: "", why: "it was deleted" };
  await api.timers.pass(500);
  await api.timers.pass(3000);
  const [problem] = api.problems.list();
  assert.deepEqual([problem!.kind, problem!.since, problem!.stops], [
    "interface_gone",
    "1970-01-01T00:00:05.500Z",
    "box",
  ]);
  lo!.condition = attached;
  await api.timers.pass(500);
  assert.deepEqual(kinds(api), []);
  assert.deepEqual(log.lines, [
    "info: Over: Interface lo is gone, and nothing of it is steered: it was deleted",
  ], "whoever lost it has logged that");
  api.reloader.file = { refused: null, lastGood: null, settling: null, unconfirmed: null, unsaved: ["- dns"] };
  await api.timers.pass(500);
  assert.match(log.lines.at(-1)!, /^warning: Rules in force are not in .*steering\.yaml/);
  assert.match(`${log.records.at(-1)!.properties.fix}`, /--save/);
});

Deno.test("Problems lists what a start needs a moment for once it has lasted longer", async () => {
  using log = new LogRecords();
  using api = new FakeApi();
  const rule = (healthy: boolean): void => {
    const backends = [{ name: "10.0.0.1:53", isIpv6: false, healthy, takesNew: true, noWay: null }] as const;
    api.appliance.ruleBackends = [{ rule: "dns", noneLeft: "drop", backends }];
  };
  rule(false);
  await api.timers.pass(1000);
  assert.deepEqual(kinds(api), []);
  rule(true);
  await api.timers.pass(1000);
  assert.deepEqual(log.lines, []);
  rule(false);
  await api.timers.pass(1500);
  assert.deepEqual(kinds(api), ["rule_without_backend"]);
});

Deno.test("Problems puts the most urgent first, and the log tells not more than can be read", async () => {
  using log = new LogRecords();
  using api = new FakeApi();
  api.appliance.backends = Array.from({ length: 100 }, (_, host) => deadBackend(host));
  api.appliance.states[0] = "failed";
  await api.timers.pass(500);
  assert.deepEqual([kinds(api).length, kinds(api)[0]], [101, "worker_down"]);
  assert.equal(log.lines.filter((line) => line.includes("no route")).length, 5);
  await api.timers.pass(10_500);
  assert.match(log.lines.at(-1)!, /^warning: 95 more changes of problems backend_no_route not logged/);
  api.appliance.backends = [];
  await api.timers.pass(500);
  assert.equal(log.lines.filter((line) => line.startsWith("info: Over: No packet gets to")).length, 5);
});

Deno.test("Problems that cannot be looked for do not hide the others, and the log says so once", async () => {
  using log = new LogRecords();
  using api = new FakeApi();
  api.appliance.steering.forwarding.status = () => {
    throw new Error("no netlink");
  };
  api.appliance.states[0] = "failed";
  await api.timers.pass(2000);
  assert.deepEqual(kinds(api), ["worker_down"]);
  assert.deepEqual(log.lines.filter((line) => line.includes("cannot be seen")), [
    "error: Problems of backends cannot be seen: no netlink",
  ]);
});

Deno.test("Problems tells of losses that the history has seen", async () => {
  using api = new FakeApi();
  api.appliance.serve("game", 1, 0, "sessions_full", 1);
  api.appliance.workers.counters[0]!.values[REFUSED_ROWS_AT] = 1;
  api.appliance.interfaces[0]!.queues[1]!.sockets[1]!.numbers!.rx_ring_full++;
  api.appliance.interfaces[0]!.program.countReason("UNCOVERED_QUEUE", 1);
  api.seconds.pass();
  await api.timers.pass(500);
  assert.deepEqual(
    api.problems.list().map(({ kind, subject }) => `${kind} ${subject.name}`),
    ["uncovered_queue lo", "sessions_full game", "packets_lost lo queue 1"],
  );
  assert.ok(api.problems.list()[1]!.message.endsWith(BOUND_WORDS.rows.full));
  await api.timers.pass(1000);
  assert.deepEqual(kinds(api), []);
  assert.deepEqual(
    api.problems.ended().map(({ kind, times, endedSecondsAgo }) => [kind, times, endedSecondsAgo]),
    [["packets_lost", 1, 0], ["sessions_full", 1, 0], ["uncovered_queue", 1, 0]],
  );
});

Deno.test("Problems tells for ten seconds of packets too large that the history has seen", async () => {
  using api = new FakeApi();
  await api.timers.pass(500);
  api.appliance.serve("game", 1, 0, "too_big", 7);
  api.seconds.pass();
  await api.timers.pass(10_000);
  assert.deepEqual(api.problems.list().map(({ kind, subject }) => [kind, subject.name]), [["packets_too_big", "game"]]);
  assert.match(api.problems.list()[0]!.message, /^100 % of the packets of rule game are dropped/);
  await api.timers.pass(10_000);
  assert.deepEqual(kinds(api), []);
});

Deno.test("Problems tells of packets that came in fragments, which no worker has received", async () => {
  using api = new FakeApi();
  await api.timers.pass(500);
  api.appliance.cut(0, "game", 7);
  api.seconds.pass();
  await api.timers.pass(10_000);
  const [problem] = api.problems.list();
  assert.deepEqual([problem!.kind, problem!.subject.name], ["packets_too_big", "game"]);
  assert.match(problem!.message, /^100 % of the packets of rule game are dropped: they came in fragments/);
});

Deno.test("Problems tells of a translation address that no interface has, as long as none has it", async () => {
  using log = new LogRecords();
  using api = new FakeApi();
  await api.timers.pass(500);
  api.appliance.foreignAddresses = ["10.0.0.7", "fd00::7"];
  await api.timers.pass(500);
  assert.deepEqual(api.problems.list().map(({ kind, subject }) => [kind, subject.kind, subject.name]), [
    ["address_missing", "address", "10.0.0.7"],
    ["address_missing", "address", "fd00::7"],
  ]);
  assert.match(api.problems.list()[1]!.fix!, /^ip address add fd00::7\/128 dev lo; or take it out/);
  assert.match(log.lines[0]!, /^warning: No interface has the translation address 10\.0\.0\.7/);
  api.appliance.foreignAddresses = [];
  await api.timers.pass(500);
  assert.deepEqual(kinds(api), []);
});

Deno.test("Problems reads losses between two samples of the history, so that no end is told late", async () => {
  using api = new FakeApi();
  await api.timers.pass(500);
  api.appliance.interfaces[0]!.queues[1]!.sockets[1]!.numbers!.rx_ring_full++;
  api.seconds.nowMs += 251;
  await api.timers.pass(500);
  assert.deepEqual(kinds(api), ["packets_lost"]);
});

Deno.test("Problems compares what is in force whenever somebody asks, and tells of what is put right at once", async () => {
  using api = new FakeApi();
  const [lo] = api.appliance.interfaces;
  const attached = lo!.condition;
  await api.timers.pass(550);
  api.appliance.compare = () => {
    lo!.condition = { state: "detached", since: "", why: "the XDP program was detached by force" };
    api.appliance.interfacesChanged(); // as the keeper does, in the middle of the look
  };
  await api.timers.pass(100);
  assert.deepEqual(kinds(api), ["program_detached"]);
  api.appliance.compare = () => {};
  lo!.condition = attached;
  api.appliance.interfacesChanged();
  assert.deepEqual(kinds(api), []);
  const [ended] = api.problems.ended();
  assert.deepEqual([ended!.kind, ended!.since, ended!.ended], [
    "program_detached",
    "1970-01-01T00:00:00.650Z",
    "1970-01-01T00:00:00.650Z",
  ]);
});

Deno.test("Problems looks at the box's own sockets each time, and where the kernel chose the port, at those that last", async () => {
  using api = new FakeApi();
  api.appliance.steering.rules = api.appliance.steering.rules.map((rule) => ({ ...rule, action: { kind: "echo" } }));
  api.listeners = [{ port: 8080, ephemeral: false }, { port: 9090, ephemeral: true }];
  await api.timers.pass(500);
  assert.deepEqual(api.problems.list().map(({ subject }) => subject.name), ["game"]);
  await api.timers.pass(4500);
  assert.deepEqual(api.problems.list().map(({ subject }) => subject.name), ["game"]);
  await api.timers.pass(500);
  assert.deepEqual(api.problems.list().map(({ subject }) => subject.name), ["game", "chat"]);
  api.listeners = [];
  await api.timers.pass(500);
  assert.deepEqual(kinds(api), []);
});
