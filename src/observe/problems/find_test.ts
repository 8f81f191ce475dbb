import assert from "node:assert/strict";
import { QUIET_BACKEND } from "../../../tests/support/backend_status.ts";
import { told } from "../../../tests/support/found_problems.ts";
import { forwardRule, rulesOf } from "../../../tests/support/steering_rig.ts";
import type { BackendStatus, RuleBackend } from "../../backends/status.ts";
import type { NoWay } from "../../backends/way.ts";
import { parseAddress } from "../../packet/address.ts";
import type { FoundProblem } from "./kinds.ts";
import { backendProblems, ruleProblems } from "./find_forwarding.ts";
import {
  captureProblems,
  deadmanProblems,
  deliveryProblems,
  fileProblems,
  interfaceProblems,
  type InterfaceState,
  listenerProblems,
  pauseProblems,
  repairProblems,
  workerProblems,
} from "./find_rest.ts";

const backend = (host: number, more: Partial<RuleBackend> = {}): RuleBackend => ({
  name: `10.0.0.${host}:53`,
  isIpv6: false,
  healthy: true,
  takesNew: true,
  noWay: null,
  ...more,
});
const noWay = (kind: NoWay["kind"]): NoWay => ({ kind, interface: "eth1", text: `${kind} by eth1` });
const SIX = { name: "[2001:db8::1]:53", isIpv6: true };

Deno.test("ruleProblems() tells why no backend of a rule can be used, and what becomes of its packets", () => {
  const of = (backends: readonly RuleBackend[], noneLeft: "drop" | "pass" = "drop"): string[] =>
    told(ruleProblems([{ rule: "dns", noneLeft, backends }]));
  assert.deepEqual(of([backend(1, { healthy: false }), backend(2)]), [], "one is left");
  assert.deepEqual(of([backend(1, { healthy: false })], "pass"), [
    "rule_without_backend dns: Rule dns has no usable backend, so its packets go to the kernel stack: 10.0.0.1:53 fails " +
    "its health check",
  ]);
  const out = { healthy: false, isOut: true };
  assert.match(of([backend(1, out)])[0]!, /10\.0\.0\.1:53 does not answer clients$/);
  assert.match(of([backend(1, out), backend(2, { healthy: false })])[0]!, /1 backend does not .*, 1 backend fails its/);
  assert.deepEqual(
    of(
      [backend(1, { healthy: false }), backend(2, { healthy: false }), backend(3, { noWay: noWay("no_neighbour") })],
      "pass",
    ),
    [
      "rule_without_backend dns: Rule dns has no usable backend, so its packets are lost: 2 backends fail their health " +
      "checks, 1 backend whose next hop does not answer",
    ],
    "packets for a healthy one are sent its way",
  );
});

Deno.test("ruleProblems() tells of an IP version without a backend, where the rule has some for it", () => {
  const of = (backends: readonly RuleBackend[]): string[] =>
    told(ruleProblems([{ rule: "dns", noneLeft: "drop", backends }]));
  assert.deepEqual(of([backend(1), backend(1, SIX)]), []);
  assert.deepEqual(of([backend(1)]), [], "there is none for IPv6, and none was asked for");
  assert.deepEqual(of([backend(1), backend(1, { ...SIX, noWay: noWay("no_route") })]), [
    "family_without_backend dns: Rule dns has no usable backend for IPv6, whose packets are lost: [2001:db8::1]:53 " +
    "without a route",
  ]);
  assert.deepEqual(of([backend(1, { healthy: false }), backend(1, SIX)]).length, 1);
});

const HEALTH: NonNullable<BackendStatus["health"]> = {
  healthy: true,
  lastMs: 1,
  reason: "answered",
  since: "",
  checks: 1,
  failures: 0,
  hindered: null,
  failure: null,
};

function status(more: Partial<BackendStatus>): BackendStatus {
  const nextHop = { interface: "eth1", mac: null, mtu: 1500 };
  const rest = { sessions: 0, ...QUIET_BACKEND, health: null, nextHop, noWay: null } as const;
  return { name: "10.0.0.1:53", rules: ["dns"], ...rest, ...more };
}

const FIXES: Readonly<Record<NoWay["kind"], string>> = {
  no_route:
    "ip route add 10.0.0.1 dev INTERFACE, or via GATEWAY if a router is between; or correct the address under to:",
  not_steered: "add { name: eth1 } to interfaces: and restart, or change the route: ip route get 10.0.0.1",
  not_attached: "xdpsteer doctor --interface eth1; it is tried again every second",
  down: "ip link set dev eth1 up; ethtool eth1",
  no_neighbour: "see that its next hop is up and in the same network: ip neighbour show dev eth1",
};

Deno.test("backendProblems() tells of each thing in the way to a backend, with what to look at", () => {
  const kinds = (more: Partial<BackendStatus>): string[] => backendProblems([status(more)]).map(({ kind }) => kind);
  assert.deepEqual(kinds({}), []);
  const kindOf = (kind: NoWay["kind"]): string[] => kinds({ noWay: noWay(kind) });
  assert.deepEqual(kindOf("no_route"), ["backend_no_route"]);
  for (const kind of ["down", "no_neighbour", "not_attached"] as const) {
    assert.deepEqual(kindOf(kind), ["next_hop_dead"]);
  }
  assert.deepEqual(kinds({ health: { ...HEALTH, healthy: false } }), ["backend_unhealthy"]);
  assert.deepEqual(kinds({ health: { ...HEALTH, healthy: false, hindered: "EPERM" } }), ["check_hindered"]);
  const [failing] = backendProblems([
    status({ health: { ...HEALTH, healthy: false, reason: "answered", failure: "no answer in 500 ms" } }),
  ]);
  assert.match(failing!.message, /fails its health check: no answer in 500 ms$/, "as long as one success is too few");
  const [out] = backendProblems([
    status({ health: { ...HEALTH, healthy: false, passive: true, reason: "no answer in 10 s to any of 5 sessions" } }),
  ]);
  assert.equal(out!.kind, "backend_unhealthy");
  assert.equal(
    out!.message,
    "Backend 10.0.0.1:53 does not answer clients, so passive: has put it out: no answer in 10 s to any of 5 sessions",
  );
  assert.match(out!.fix!, /under passive:, raise no_answer or within, or set unreachable: false$/);
  const hindered = (reason: string): string =>
    backendProblems([status({ health: { ...HEALTH, hindered: `Cannot carry out the check: ${reason}` } })])[0]!.fix!;
  assert.match(hindered("send failed with EPERM (1)"), /^nft list ruleset.*IPAddressDeny=/);
  assert.match(hindered("socket failed with EMFILE (24)"), /LimitNOFILE=/);
  assert.match(hindered("connect failed with EAGAIN (11)"), /ss -s/);
  const [unsteered] = backendProblems([status({ noWay: noWay("not_steered") })]);
  assert.equal(unsteered!.kind, "backend_not_steered");
  assert.match(unsteered!.message, /No packet gets to backend 10.0.0.1:53: not_steered by eth1/);
  assert.match(unsteered!.fix!, /\{ name: eth1 \}/);
  const [far] = backendProblems([status({ name: "[2001:db8::1]:53", noWay: noWay("no_route"), nextHop: null })]);
  assert.match(far!.fix!, /^ip -6 route add 2001:db8::1 dev INTERFACE,/);
  const own: NoWay = { ...noWay("no_route"), noRoute: "own", text: "it is an address of this box" };
  const [itself] = backendProblems([status({ noWay: own })]);
  assert.equal(itself!.message, "No packet gets to backend 10.0.0.1:53: it is an address of this box");
  const given = "if a program of this box is to have the packets, give the rule";
  assert.equal(itself!.fix, `${given} action: { deliver: { port: 53 } }; or correct the address under to:`);
  const fixOf = (name: string): string => backendProblems([status({ name, noWay: own })])[0]!.fix!;
  assert.match(fixOf("10.0.0.1"), /give the rule action: pass; or/, "packets keep their ports");
  assert.match(fixOf("[fd00::1]:53-60"), /a rule for each port, with action: \{ deliver: \{ port: 53 \} \} and so on/);
  const farHost = { noWay: noWay("no_route"), nextHop: null };
  assert.match(backendProblems([status({ name: "10.0.0.12", ...farHost })])[0]!.fix!, /^ip route add 10\.0\.0\.12 dev/);
  for (const [kind, fix] of Object.entries(FIXES)) {
    const way = noWay(kind as NoWay["kind"]);
    assert.equal(backendProblems([status({ noWay: way })])[0]!.fix, fix);
    const [ofRule] = ruleProblems([{ rule: "dns", noneLeft: "drop", backends: [{ ...backend(1), noWay: way }] }]);
    assert.equal(ofRule!.fix, fix, "the rule that has no other backend says the same");
  }
});

Deno.test("backendProblems() says nothing of a backend that no rule names, whatever it is like", () => {
  const gone = {
    rules: [],
    leavingSeconds: 5,
    noWay: noWay("no_neighbour"),
    health: { ...HEALTH, healthy: false },
  } as const;
  assert.deepEqual(backendProblems([status(gone)]), []);
});

const MTU = { now: 1778, largest: 1778 };

Deno.test("repairProblems() tells what was put right in the last second, and how long it was wrong", () => {
  const repair = {
    what: "port_table",
    count: 3,
    agoMs: 1000,
    wrongMs: 412,
    words: "the entry of port 53 had been changed",
  } as const;
  assert.deepEqual(told(repairProblems([repair, { ...repair, what: "xsk_map", agoMs: 1001 }])), [
    "steering_changed port_table: Somebody changed in the kernel what steers packets, and it was put right after at " +
    "most 0.5 s: the entry of port 53 had been changed",
  ]);
});

Deno.test("pauseProblems() tells for a second that the process did not run", () => {
  assert.deepEqual(pauseProblems(undefined), []);
  assert.deepEqual(pauseProblems({ lastMs: 3200, agoMs: 1001 }), []);
  const [problem] = pauseProblems({ lastMs: 3200, agoMs: 900 });
  assert.equal(problem!.kind, "paused");
  assert.match(
    problem!.message,
    /^The process did not run for 3\.2 s: somebody stopped it, or the machine stood still/,
  );
});

Deno.test("deadmanProblems() tells that everything passes, and for a second that it did", () => {
  const report = { isOn: true, times: 1, seconds: 4.6, why: "", agoMs: 0, last: { seconds: 4.6, packets: 1 } };
  const of = (more: Partial<typeof report>): FoundProblem[] => deadmanProblems({ ...report, ...more });
  assert.deepEqual(told(of({})), [
    "deadman_on all: No worker's loop turns, and everything has passed to the kernel stack for 4.6 s: 1 packet for " +
    "listed ports",
  ]);
  assert.deepEqual(told(of({ isOn: false, agoMs: 1000 })), [
    "deadman_on all: No worker's loop turned, and everything passed to the kernel stack for 4.6 s: 1 packet for listed " +
    "ports",
  ]);
  assert.deepEqual([of({})[0]!.stopsNothing, of({ isOn: false })[0]!.stopsNothing], [undefined, true]);
  assert.deepEqual(of({ isOn: false, agoMs: 1001 }), []);
  assert.deepEqual(of({ isOn: false, agoMs: Infinity }), [], "it never was");
});

Deno.test("interfaceProblems() and workerProblems() tell what keeps packets from being steered", () => {
  const of = (
    state: InterfaceState["condition"]["state"],
    up: boolean,
    more: Partial<InterfaceState> = {},
  ): string[] =>
    interfaceProblems([{ name: "eth0", condition: { state, why: "why" }, up, mtu: MTU, newQueues: [], ...more }])
      .map(({ kind }) => kind);
  assert.deepEqual(of("attached", true), []);
  assert.deepEqual(of("attached", false), ["interface_down"]);
  assert.deepEqual(of("gone", false), ["interface_gone"], "and not that it has no carrier");
  assert.deepEqual(of("detached", true), ["program_detached"]);
  assert.deepEqual(of("attached", true, { newQueues: [2, 3] }), ["queues_added"]);
  assert.deepEqual(of("attached", true, { mtu: { ...MTU, now: 1779 } }), ["mtu_too_large"]);
  assert.deepEqual(of("gone", false, { newQueues: [2], mtu: undefined }), ["interface_gone"]);
  const two = (other: Partial<InterfaceState>): (true | undefined)[] => {
    const eth0: InterfaceState = {
      ...{ name: "eth0", condition: { state: "attached", why: "" }, up: false, mtu: MTU, newQueues: [] },
    };
    return interfaceProblems([eth0, { ...eth0, name: "eth1", ...other }])
      .filter(({ kind }) => kind === "interface_down").map(({ stopsNothing }) => stopsNothing);
  };
  assert.deepEqual(two({ up: true }), [true], "packets come by the other one");
  assert.deepEqual(two({}), [undefined, undefined]);
  assert.deepEqual(two({ up: true, condition: { state: "detached", why: "why" } }), [undefined]);
  const [running, failed] = [{ state: "running", why: "" }, { state: "failed", why: "" }];
  const stalled = { state: "stalled", why: "its thread is stopped by a signal" };
  assert.deepEqual(told(workerProblems([running, failed, stalled])), [
    "worker_down 1: Worker 1 does not run, and the packets of its ports are lost: it is failed",
    "worker_down 2: Worker 2 does not run, and the packets of its ports are lost: its thread is stopped by a signal",
  ]);
});

Deno.test("captureProblems() and fileProblems() tell what is not written, and what is not in force", () => {
  const capture = { rule: "dns", file: "/x/dns.pcapng", error: null, written: 1, dropped: 0 };
  assert.deepEqual(captureProblems([{ ...capture, state: "on" }, { ...capture, state: "off", file: null }]), []);
  assert.deepEqual(told(captureProblems([{ ...capture, state: "failed", error: "No space left" }])), [
    "capture_failed dns: Rule dns is not captured: cannot write /x/dns.pcapng: No space left",
  ]);
  assert.deepEqual(
    fileProblems("s.yaml", { refused: null, lastGood: null, settling: null, unconfirmed: null, unsaved: [] }),
    [],
  );
  const problems = fileProblems("s.yaml", {
    refused: { time: "", message: "s.yaml:1:1: a\nb" },
    lastGood: null,
    settling: null,
    unconfirmed: null,
    unsaved: ["- dns: x"],
  });
  assert.deepEqual(told(problems), [
    "config_refused s.yaml: s.yaml is refused, and the configuration before it stays in force: line 1, column 1: a",
    "config_unsaved s.yaml: Rules in force are not in s.yaml, and a restart would undo: - dns: x",
  ]);
  const fixes = ["s.yaml:1:1: a", "workers cannot change while xdpsteer runs; nothing was applied"].map((message) =>
    fileProblems("s.yaml", {
      refused: { time: "", message },
      lastGood: null,
      settling: null,
      unconfirmed: null,
      unsaved: [],
    })[0]!.fix
  );
  assert.deepEqual(fixes, [
    "xdpsteer check s.yaml",
    "systemctl restart xdpsteer puts it in force; or undo that part of the change",
  ]);
  const settling = { lost: 4, rules: 6, secondsLeft: 3 };
  const none = { refused: null, lastGood: null, settling: null, unconfirmed: null, unsaved: [] };
  assert.deepEqual(
    told(fileProblems("s.yaml", { ...none, unconfirmed: { changes: ["- dns"], seconds: 60, secondsLeft: 42 } })),
    [
      "config_unconfirmed s.yaml: A change waits for its confirmation, and is taken back in 42 seconds: - dns",
    ],
  );
  assert.deepEqual(told(fileProblems("s.yaml", { ...none, settling })), [
    "config_settling s.yaml: s.yaml loses 4 of 6 rules, and is put in force in 3 seconds if it still says so",
  ]);
  const message = Array.from({ length: 100 }, (_, index) => `s.yaml:${index + 1}:1: a`).join("\n");
  const [many] = fileProblems("s.yaml", {
    refused: { time: "", message },
    lastGood: null,
    settling: null,
    unconfirmed: null,
    unsaved: [],
  });
  assert.deepEqual(many!.detail!.split("\n").slice(-2), ["s.yaml:20:1: a", "… and 80 more lines"]);
});

Deno.test("listenerProblems() tells of programs that a rule takes packets from and was not meant to", () => {
  const rules = rulesOf(
    "{ name: game, ports: [7000-7010, 53], worker: 0, action: echo }",
    "{ name: block, ports: 19, action: drop }",
    "{ name: own, ports: 22, action: pass }",
    forwardRule("dns", 5353, [1], ", none_left: pass"),
  );
  const listeners = [7001, 53, 19, 22, 5353, 9999].map((port) => ({ port, ephemeral: false }));
  const problems = listenerProblems(rules, listeners);
  assert.deepEqual(told(problems), [
    "local_listener game: A program of this box listens on port 53, 7001, whose packets rule game takes",
  ]);
  assert.equal(problems[0]!.fix, "ss -ulpn sport = :53");
  const listed = rulesOf("{ name: a, ports: 53, addresses: [192.0.2.7, '2001:db8::/64'], worker: 0 }");
  const on = (address: string): string[] =>
    told(listenerProblems(listed, [{ port: 53, ephemeral: false, address: parseAddress(address) }]));
  assert.deepEqual(["192.0.2.8", "2001:db8:1::1"].flatMap(on), [], "another address of the box");
  assert.deepEqual(["192.0.2.7", "2001:db8::1"].flatMap(on).length, 2);
  assert.equal(listenerProblems(listed, [{ port: 53, ephemeral: false }]).length, 1, "it listens on all");
  const many = Array.from({ length: 11 }, (_, index) => ({ port: 7000 + index, ephemeral: false }));
  assert.match(listenerProblems(rules, many)[0]!.message, /port 7000, 7001, 7002, 7003, 7004 and 6 more,/);
});

Deno.test("deliveryProblems() tells of rules that deliver to a port that no program has", () => {
  const rules = rulesOf(
    "{ name: dns, ports: [53, 5353], action: { deliver: { port: 5353 } } }",
    "{ name: game, ports: 7000, action: { deliver: { port: 7001 } } }",
  );
  const listeners = [{ port: 5353, ephemeral: false }];
  const problems = deliveryProblems(rules, listeners);
  assert.deepEqual(told(problems), ["nobody_listens game: Nobody listens on port 7001, which rule game delivers to"]);
  assert.equal(problems[0]!.fix, "ss -ulpn sport = :7001");
  assert.deepEqual(listenerProblems(rules, listeners), [], "it gets its packets, though its port is listed");
  assert.deepEqual(told(listenerProblems(rules, [{ port: 53, ephemeral: false }])), [
    "local_listener dns: A program of this box listens on port 53, whose packets rule dns takes",
  ]);
});
