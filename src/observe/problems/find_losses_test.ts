import assert from "node:assert/strict";
import { told } from "../../../tests/support/found_problems.ts";
import { BOUND_WORDS } from "../../steering/sessions.ts";
import { TRANSLATION_PORTS } from "../../steering/slots.ts";
import { Growth, type LossCounts, lossProblems, type RuleLosses } from "./find_losses.ts";
import type { FoundProblem } from "./kinds.ts";

const RULE: RuleLosses = {
  ...{ rule: "dns", received: 0, sessionsFull: 0, tooBig: 0, txRingFull: 0, fragments: 0 },
  ...{ answers: 0, answersTooBig: 0, answersNotSent: 0 },
};
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
  const notSent = { ...more, rules: [{ ...RULE, sessionsFull: 5, txRingFull: 3, answersNotSent: 1 }] };
  assert.deepEqual(at(2100, notSent), all.slice(3), "on the way back");
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
  const after = (seconds: number, received: number, tooBig: number, answers = 0, answersTooBig = 0): string[] => {
    nowMs += seconds * 1000;
    const rules = [{ ...RULE, received, tooBig, answers, answersTooBig }];
    return told(lossProblems({ ...NO_COUNTS, rules }, growth, nowMs, () => false));
  };
  const packets = (percent: number): string =>
    `${percent} % of the packets of rule dns are dropped: they are larger than the MTU or the chunks of the way to the ` +
    "backends";
  const answers = (percent: number): string =>
    `${percent} % of the answers to clients of rule dns are dropped: they are larger than the MTU or the chunks of the ` +
    "way to the clients";
  const one = (...parts: string[]): string[] => [`packets_too_big dns: ${parts.join(". ")}`];
  assert.deepEqual(after(0, 500, 500), [], "what there was before");
  assert.deepEqual(after(9.9, 1500, 520, 400, 100), []);
  assert.deepEqual(after(0.1, 1500, 520, 400, 100), one(packets(2), answers(25)));
  assert.deepEqual(after(9, 1500, 520, 400, 100), one(packets(2), answers(25)));
  assert.deepEqual(after(1, 2500, 529, 404, 104), [], "fewer than one in a hundred, or than five");
  assert.deepEqual(after(10, 2505, 534, 404, 104), one(packets(100)), "all of few");
  assert.deepEqual(after(10, 2505, 534, 504, 114), one(answers(10)), "only on the way back");
  assert.deepEqual(after(1, 0, 534), [], "another rule of this name");
  assert.deepEqual(after(10, 10, 534), []);
});

Deno.test("lossProblems() tells of fragments as a part of all packets, and what to do on which side", () => {
  const growth = new Growth();
  const at = (nowMs: number, received: number, tooBig: number, fragments: number): (string | undefined)[][] =>
    lossProblems(
      {
        ...NO_COUNTS,
        rules: ["dns", TRANSLATION_PORTS].map((rule) => ({ ...RULE, rule, received, tooBig, fragments })),
      },
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
  assert.match(ofAnswers!, /^25 % of the backends' answers are dropped: they came in fragments/);
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
