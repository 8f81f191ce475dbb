import assert from "node:assert/strict";
import { QUIET_BACKEND } from "../../../tests/support/backend_status.ts";
import { forwardRule, rulesOf } from "../../../tests/support/steering_rig.ts";
import type { BackendStatus, RuleBackend } from "../../backends/status.ts";
import type { NoWay } from "../../backends/way.ts";
import { backendProblems, ruleProblems } from "./find_forwarding.ts";
import { BOUND_WORDS } from "../../steering/sessions.ts";
import { ANSWERS } from "../../steering/slots.ts";
import { Growth, type LossCounts, lossProblems, type RuleLosses } from "./find_losses.ts";
import {
  captureProblems,
  deliveryProblems,
  fileProblems,
  interfaceProblems,
  type InterfaceState,
  listenerProblems,
  repairProblems,
  workerProblems,
} from "./find_rest.ts";
import type { FoundProblem } from "./kinds.ts";

function told(problems: readonly FoundProblem[]): string[] {
  return problems.map(({ kind, subject, message }) => `${kind} ${subject}: ${message}`);
}

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
  assert.match(itself!.fix!, /^correct the address under to:/, "a route would not help");
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

const RULE: RuleLosses = { rule: "dns", received: 0, sessionsFull: 0, tooBig: 0, txRingFull: 0, fragments: 0 };
const NO_COUNTS: LossCounts = {
  uncovered: new Map(),
  queues: [],
  rules: [],
  refused: { rows: 0, ports: 0, backends: 0 },
};
const COUNTS: LossCounts = {
  uncovered: new Map([["eth0", 7]]),
  queues: [{ interface: "eth0", queue: 3, rxRingFull: [5, 0], rxDropped: [0, 9] }],
  rules: [{ ...RULE, sessionsFull: 4, txRingFull: 2 }],
  refused: { rows: 3, ports: 4, backends: 0 },
};

Deno.test("lossProblems() tells what grows, not what there was before, and its end", () => {
  const growth = new Growth();
  const at = (nowMs: number, counts: LossCounts): string[] => told(lossProblems(counts, growth, nowMs, () => false));
  assert.deepEqual(at(0, COUNTS), []);
  const more: LossCounts = {
    uncovered: new Map([["eth0", 8]]),
    queues: [{ interface: "eth0", queue: 3, rxRingFull: [6, 1], rxDropped: [0, 10] }],
    rules: [{ ...RULE, sessionsFull: 5, txRingFull: 3 }],
    refused: { rows: 3, ports: 5, backends: 0 },
  };
  const all = [
    "uncovered_queue eth0: Packets for listed ports arrive on a queue of eth0 without sockets and go to the kernel stack",
    "packets_lost eth0 queue 3: Queue 3 of eth0 loses packets: the rx ring of workers 0, 1 is full; no chunk is free for " +
    "worker 1, or packets are larger than a chunk",
    `sessions_full dns: Rule dns refuses new clients: ${BOUND_WORDS.ports.full}`,
    "answers_lost dns: Packets of rule dns are not sent: the tx ring is full",
  ];
  assert.deepEqual(at(1000, more), all);
  assert.deepEqual(at(1500, more), all, "until a look later");
  assert.deepEqual(at(2000, more), []);
  assert.deepEqual(at(12_000, { ...more, rules: [] }), [], "a rule that is gone");
  assert.deepEqual(at(13_000, { ...more, rules: [RULE] }), [], "and is new");
});

Deno.test("lossProblems() says which bound new clients of a rule are refused for, and what to raise", () => {
  const growth = new Growth();
  const at = (nowMs: number, sessionsFull: number, rows: number, ports: number): (string | undefined)[] =>
    lossProblems(
      { ...NO_COUNTS, rules: [{ ...RULE, sessionsFull }], refused: { rows, ports, backends: 0 } },
      growth,
      nowMs,
      () => false,
    ).map(({ fix }) => fix);
  assert.deepEqual(at(0, 0, 0, 0), []);
  assert.deepEqual(at(1, 1, 0, 0), [], "until the worker has said what for");
  assert.deepEqual(at(2, 1, 1, 0), [BOUND_WORDS.rows.remedy]);
  assert.deepEqual(at(3, 2, 1, 1), [`${BOUND_WORDS.rows.remedy}; or ${BOUND_WORDS.ports.remedy}`]);
  assert.deepEqual(at(1003, 3, 1, 2), [BOUND_WORDS.ports.remedy], "the other is over");
});

Deno.test("lossProblems() tells of packets too large when they are a part of a rule's packets, in either direction", () => {
  const growth = new Growth();
  let nowMs = 0;
  const after = (
    seconds: number,
    ...rules: (readonly [rule: string, received: number, tooBig: number])[]
  ): string[] => {
    nowMs += seconds * 1000;
    const counts = rules.map(([rule, received, tooBig]) => ({ ...RULE, rule, received, tooBig }));
    return told(lossProblems({ ...NO_COUNTS, rules: counts }, growth, nowMs, () => false));
  };
  const answers = (percent: number): string =>
    `packets_too_big ${ANSWERS}: ${percent} % of the packets of the backends' answers are dropped: they are larger than ` +
    "the MTU or the chunks of the way to the clients";
  const dns = (percent: number): string =>
    `packets_too_big dns: ${percent} % of the packets of rule dns are dropped: they are larger than the MTU or the ` +
    "chunks of the way to the backends";
  assert.deepEqual(after(0, ["dns", 500, 500], [ANSWERS, 0, 0]), [], "what there was before");
  assert.deepEqual(after(9.9, ["dns", 1500, 520], [ANSWERS, 400, 100]), []);
  assert.deepEqual(after(0.1, ["dns", 1500, 520], [ANSWERS, 400, 100]), [dns(2), answers(25)]);
  assert.deepEqual(after(9, ["dns", 1500, 520], [ANSWERS, 400, 100]), [dns(2), answers(25)]);
  assert.deepEqual(after(1, ["dns", 2500, 529], [ANSWERS, 404, 104]), [], "fewer than one in a hundred, or than five");
  assert.deepEqual(after(10, ["dns", 2505, 534], [ANSWERS, 404, 104]), [dns(100)], "all of few");
  assert.deepEqual(after(1, ["dns", 0, 534]), [], "another rule of this name");
  assert.deepEqual(after(10, ["dns", 10, 534]), []);
});

Deno.test("lossProblems() tells of fragments as a part of all packets, and what to do on which side", () => {
  const growth = new Growth();
  const at = (nowMs: number, received: number, tooBig: number, fragments: number): (string | undefined)[][] =>
    lossProblems(
      { ...NO_COUNTS, rules: ["dns", ANSWERS].map((rule) => ({ ...RULE, rule, received, tooBig, fragments })) },
      growth,
      nowMs,
      () => false,
    ).map(({ kind, subject, message, fix }) => [kind, subject, message, fix]);
  assert.deepEqual(at(0, 100, 5, 5), []);
  assert.deepEqual(at(10_000, 1100, 5, 9), [], "fewer than five");
  const [[, dns, message, fix], [, , ofAnswers, fixOfAnswers]] = at(20_000, 1175, 5, 34) as [string[], string[]];
  assert.equal(dns, "dns");
  assert.equal(message, "25 % of the packets of rule dns are dropped: they came in fragments, which are not steered");
  assert.match(fix!, /fragments: pass/);
  assert.match(ofAnswers!, /^25 % of the packets of the backends' answers are dropped: they came in fragments/);
  assert.match(fixOfAnswers!, /1232 bytes.*mtu lock 1500/);
  const [both] = at(30_000, 1225, 30, 84);
  assert.match(both![2]!, /^75 % .* are dropped: they are larger than .*; or they \(50 %\) came in fragments/);
  assert.deepEqual(at(40_000, 1325, 30, 84), []);
});

Deno.test("lossProblems() does not ask for larger rings where a worker stood still", () => {
  const growth = new Growth();
  const of = (rxRingFull: readonly number[], nowMs: number): FoundProblem[] => {
    const queues = [{ interface: "eth0", queue: 3, rxRingFull, rxDropped: [0, 0] }];
    return lossProblems(
      { ...NO_COUNTS, queues },
      growth,
      nowMs,
      (worker) => worker === 1,
    );
  };
  assert.deepEqual(of([0, 0], 0), []);
  const [still] = of([0, 1], 1000);
  assert.equal(still!.message, "Queue 3 of eth0 loses packets: worker 1 stood still and took none");
  assert.doesNotMatch(still!.fix!, /rings\.rx/);
  const [both] = of([1, 2], 2000);
  assert.equal(
    both!.message,
    "Queue 3 of eth0 loses packets: worker 1 stood still and took none; the rx ring of worker 0 is full",
  );
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
  assert.deepEqual(fileProblems("s.yaml", { refused: null, lastGood: null, settling: null, unsaved: [] }), []);
  const problems = fileProblems("s.yaml", {
    refused: { time: "", message: "s.yaml:1:1: a\nb" },
    lastGood: null,
    settling: null,
    unsaved: ["- dns: x"],
  });
  assert.deepEqual(told(problems), [
    "config_refused s.yaml: s.yaml is refused, and the configuration before it stays in force: line 1, column 1: a",
    "config_unsaved s.yaml: Rules in force are not in s.yaml, and a restart would undo: - dns: x",
  ]);
  const fixes = ["s.yaml:1:1: a", "workers cannot change while xdpsteer runs; nothing was applied"].map((message) =>
    fileProblems("s.yaml", { refused: { time: "", message }, lastGood: null, settling: null, unsaved: [] })[0]!.fix
  );
  assert.deepEqual(fixes, [
    "xdpsteer check s.yaml",
    "systemctl restart xdpsteer puts it in force; or undo that part of the change",
  ]);
  const settling = { lost: 4, rules: 6, secondsLeft: 3 };
  assert.deepEqual(told(fileProblems("s.yaml", { refused: null, lastGood: null, settling, unsaved: [] })), [
    "config_settling s.yaml: s.yaml loses 4 of 6 rules, and is put in force in 3 seconds if it still says so",
  ]);
  const message = Array.from({ length: 100 }, (_, index) => `s.yaml:${index + 1}:1: a`).join("\n");
  const [many] = fileProblems("s.yaml", {
    refused: { time: "", message },
    lastGood: null,
    settling: null,
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
