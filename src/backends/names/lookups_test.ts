import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { FakeTimers } from "../../../tests/support/fake_timers.ts";
import type { BackendName, Forward } from "../../steering/forward.ts";
import type { Rule } from "../../steering/rule.ts";
import type { Answer, RecordType, Service } from "./answer.ts";
import { NOT_THERE } from "./dns_message.ts";
import { Names } from "./names.ts";
import { lookUpOnce } from "./once.ts";
import { readServers } from "./servers.ts";

const records = (records: readonly (string | Service)[], ttl = 10): Answer => ({ kind: "records", records, ttl });
const NONE: Answer = { kind: "none", words: "it has no record", ttl: 10 };
const FAILED: Answer = { kind: "failed", words: "no answer" };
const GAME: BackendName = { name: "game.example:9", host: "game.example", port: 9, weight: 2 };
const SERVICE: BackendName = { name: "_g._udp.example", host: "_g._udp.example", port: null, weight: 1 };
const NOWHERE = { to: [], names: [] };

class Rig implements Disposable {
  readonly timers = new FakeTimers();
  readonly answers = new Map<string, Answer>();
  asked: string[] = [];
  changes = 0;
  readonly names = new Names({
    ask: (name: string, type: RecordType) => {
      this.asked.push(`${type} ${name}`);
      return Promise.resolve(this.answers.get(`${type} ${name}`) ?? NONE);
    },
    timers: this.timers,
    onChange: () => this.changes++,
  });

  spec(...names: readonly BackendName[]): Forward {
    return { ...NOWHERE, names } as unknown as Forward;
  }

  meaningOf(...names: readonly BackendName[]): string[] {
    return this.names.expand(this.spec(...names)).to.map(({ name, weight, backup }) =>
      `${name} ${weight}${backup === true ? " backup" : ""}`
    );
  }

  get error(): string | null | undefined {
    return this.names.status()[0]?.error;
  }

  [Symbol.dispose](): void {
    this.names[Symbol.dispose]();
  }
}

Deno.test("a name means its addresses, of both IP versions, in one order and spelling; what cannot be one is left out", async () => {
  using rig = new Rig();
  rig.answers.set("A game.example", records(["10.0.0.2", "10.0.0.1", "127.0.0.1"]));
  rig.answers.set("AAAA game.example", records(["FD00:0::1"]));
  await rig.names.follow([rig.spec(GAME)]);
  assert.deepEqual(rig.meaningOf(GAME), ["10.0.0.1:9 2", "10.0.0.2:9 2", "[fd00::1]:9 2"]);
  assert.equal(rig.changes, 1);
  assert.equal(rig.error, null);
});

Deno.test("a name has the ports that stand behind it: a range, or none", async () => {
  using rig = new Rig();
  rig.answers.set("A game.example", records(["10.0.0.1"]));
  rig.answers.set("AAAA game.example", records(["fd00::1"]));
  const range = { ...GAME, name: "game.example:9-19", lastPort: 19 };
  const bare = { ...GAME, name: "game.example", port: 0 };
  await rig.names.follow([rig.spec(range, bare)]);
  assert.deepEqual(rig.meaningOf(range), ["10.0.0.1:9-19 2", "[fd00::1]:9-19 2"]);
  assert.deepEqual(rig.meaningOf(bare), ["10.0.0.1 2", "[fd00::1] 2"]);
});

Deno.test("an answer holds for its TTL, within 1 and 300 seconds", async () => {
  for (const [ttl, seconds] of [[0, 1], [1, 1], [20, 20], [3600, 300]] as const) {
    using rig = new Rig();
    for (const type of ["A", "AAAA"]) rig.answers.set(`${type} game.example`, records(["10.0.0.1"], ttl));
    await rig.names.follow([rig.spec(GAME)]);
    rig.asked = [];
    await rig.timers.pass(seconds * 1000 - 10);
    assert.deepEqual(rig.asked, []);
    await rig.timers.pass(20);
    assert.deepEqual(rig.asked, ["A game.example", "AAAA game.example"]);
  }
});

Deno.test("a failure changes nothing, and is asked again after 1, 2, 4 and at most 30 seconds", async () => {
  using rig = new Rig();
  rig.answers.set("A game.example", records(["10.0.0.1"], 1));
  rig.answers.set("AAAA game.example", records(["fd00::1"], 300));
  await rig.names.follow([rig.spec(GAME)]);
  rig.answers.set("A game.example", FAILED);
  await rig.timers.pass(1000);
  const waits: number[] = [];
  for (let turn = 0; turn < 7; turn++) {
    waits.push(rig.names.status()[0]!.againSeconds);
    await rig.timers.pass(waits.at(-1)! * 1000);
  }
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, 30]);
  assert.deepEqual(rig.meaningOf(GAME), ["10.0.0.1:9 2", "[fd00::1]:9 2"]);
  assert.equal(rig.error, "no answer");
  rig.answers.set("A game.example", records(["10.0.0.1"]));
  await rig.timers.pass(30_000);
  assert.equal(rig.error, null);
  assert.equal(rig.changes, 1);
});

Deno.test("no record of one IP version is an answer; none of either is none", async () => {
  using rig = new Rig();
  for (const [type, address] of [["A", "10.0.0.1"], ["AAAA", "fd00::1"]] as const) {
    rig.answers.set(`${type} game.example`, records([address]));
  }
  await rig.names.follow([rig.spec(GAME)]);
  rig.answers.set("AAAA game.example", NONE);
  await rig.timers.pass(10_000);
  assert.deepEqual(rig.meaningOf(GAME), ["10.0.0.1:9 2"]);
  assert.equal(rig.error, null);
  rig.answers.set("A game.example", NONE);
  await rig.timers.pass(10_000);
  assert.deepEqual(rig.meaningOf(GAME), ["10.0.0.1:9 2"]);
  assert.notEqual(rig.error, null);
  assert.equal(rig.changes, 2);
});

Deno.test("a name that is said not to exist for one IP version only keeps what it had of that", async () => {
  using rig = new Rig();
  rig.answers.set("A game.example", records(["10.0.0.1"]));
  const gone: Answer = { kind: "none", words: NOT_THERE, ttl: 10 };
  rig.answers.set("AAAA game.example", gone);
  await rig.names.follow([rig.spec(GAME)]);
  assert.deepEqual([rig.meaningOf(GAME), rig.error], [["10.0.0.1:9 2"], null], "there was none: so some servers say");
  rig.answers.set("A game.example", gone);
  rig.answers.set("AAAA game.example", records(["fd00::1"]));
  await rig.timers.pass(10_000);
  assert.deepEqual([rig.meaningOf(GAME), rig.error], [["10.0.0.1:9 2", "[fd00::1]:9 2"], NOT_THERE]);
  rig.answers.set("A game.example", NONE);
  await rig.timers.pass(10_000);
  assert.deepEqual([rig.meaningOf(GAME), rig.error], [["[fd00::1]:9 2"], null]);
});

Deno.test("an answer that has only addresses which no backend can have is as one that has none", async () => {
  using rig = new Rig();
  for (const type of ["A", "AAAA"]) rig.answers.set(`${type} game.example`, records(["0.0.0.0", "::1"]));
  await rig.names.follow([rig.spec(GAME)]);
  assert.deepEqual([rig.meaningOf(GAME), rig.names.status()[0]!.lastSuccess], [[], null]);
  for (const [type, address] of [["A", "10.0.0.1"], ["AAAA", "fd00::1"]] as const) {
    rig.answers.set(`${type} game.example`, records([address]));
  }
  await rig.timers.pass(10_000);
  rig.answers.set("AAAA game.example", records(["::"]));
  await rig.timers.pass(10_000);
  assert.deepEqual([rig.meaningOf(GAME), rig.error], [["10.0.0.1:9 2"], null], "it has others");
  for (const [sinkhole, aaaa] of [["0.0.0.0", "::"], ["127.0.0.1", "::1"]] as const) {
    rig.answers.set("A game.example", records([sinkhole]));
    rig.answers.set("AAAA game.example", records([aaaa]));
    await rig.timers.pass(10_000);
    assert.deepEqual(rig.meaningOf(GAME), ["10.0.0.1:9 2"]);
    assert.equal(rig.error, `it has only addresses that no backend can have: ${sinkhole}; ${aaaa}`);
  }
  rig.answers.set("AAAA game.example", NONE);
  await rig.timers.pass(10_000);
  assert.equal(rig.error, "it has only addresses that no backend can have: 127.0.0.1");
  assert.equal(rig.changes, 2);
});

Deno.test("an SRV record whose targets mean nothing leaves what it meant before", async () => {
  using rig = new Rig();
  const target = (target: string): Answer => records([{ target, priority: 1, weight: 1, port: 7 }]);
  rig.answers.set("A a.example", records(["10.0.0.1"]));
  rig.answers.set("A sinkhole.example", records(["0.0.0.0"]));
  rig.answers.set("A broken.example", FAILED);
  rig.answers.set("SRV _g._udp.example", target("a.example"));
  await rig.names.follow([rig.spec(SERVICE)]);
  for (
    const [name, error] of [
      ["sinkhole.example", "it has only addresses that no backend can have: 0.0.0.0"],
      ["broken.example", "no answer"],
      [".", "its SRV records name no target"],
    ] as const
  ) {
    rig.answers.set("SRV _g._udp.example", target(name));
    await rig.timers.pass(10_000);
    assert.deepEqual([rig.meaningOf(SERVICE), rig.error], [["10.0.0.1:7 1"], error]);
  }
  rig.answers.set("A b.example", records(["10.0.0.2"]));
  rig.answers.set("SRV _g._udp.example", records([{ target: "b.example", priority: 1, weight: 1, port: 0 }]));
  await rig.timers.pass(10_000);
  assert.deepEqual([rig.meaningOf(SERVICE), rig.error], [["10.0.0.1:7 1"], "its SRV records name no target"]);
  rig.answers.set("SRV _g._udp.example", target("b.example"));
  await rig.timers.pass(10_000);
  assert.deepEqual([rig.meaningOf(SERVICE), rig.error], [["10.0.0.2:7 1"], null]);
});

Deno.test("an SRV record has ports, weights, and backups of a lower priority", async () => {
  using rig = new Rig();
  const service = (target: string, priority: number, weight: number): Service => ({
    target,
    priority,
    weight,
    port: 7,
  });
  rig.answers.set(
    "SRV _g._udp.example",
    records([service("a.example", 1, 0), service("b.example", 1, 5), service("c.example", 2, 9)]),
  );
  for (const [index, host] of ["a", "b", "c"].entries()) {
    rig.answers.set(`A ${host}.example`, records([`10.0.0.${index + 1}`]));
  }
  await rig.names.follow([rig.spec(SERVICE)]);
  assert.deepEqual(rig.meaningOf(SERVICE), ["10.0.0.1:7 1", "10.0.0.2:7 5", "10.0.0.3:7 9 backup"]);
  rig.answers.set("SRV _g._udp.example", records([service(".", 0, 0)]));
  rig.answers.set("SRV _g._udp.example", NONE);
  await rig.timers.pass(10_000);
  assert.equal(rig.meaningOf(SERVICE).length, 3, "the last good answer stays");
  assert.notEqual(rig.error, null);
});

Deno.test("a change of rules waits for a new name's first answer, but not for long", async () => {
  using rig = new Rig();
  using slow = new Names({ ask: () => new Promise<Answer>(() => {}), timers: rig.timers, onChange: () => {} });
  let isDone = false;
  const following = slow.follow([rig.spec(GAME)]).then(() => isDone = true);
  await rig.timers.pass(1990);
  assert.equal(isDone, false);
  await rig.timers.pass(20);
  await following;
  assert.equal(slow.status()[0]!.error, "it has not been answered yet");
});

Deno.test("lookUpOnce() says of a server that does not answer that it does not", async () => {
  using rig = new Rig();
  const silent = createSocket("udp4");
  try {
    await new Promise<void>((resolve) => silent.bind(0, "127.0.0.1", resolve));
    const rule = { action: { kind: "forward", ...rig.spec(GAME) } } as unknown as Rule;
    const { names } = await lookUpOnce([rule], [{ address: "127.0.0.1", port: silent.address().port }]);
    assert.equal(names[0]!.error, "127.0.0.1: no answer within 1000 ms");
  } finally {
    await new Promise<void>((resolve) => silent.close(resolve));
  }
});

Deno.test("names that no rule has any more are not asked for", async () => {
  using rig = new Rig();
  rig.answers.set("A game.example", records(["10.0.0.1"], 1));
  await rig.names.follow([rig.spec(GAME)]);
  rig.names.retain([]);
  rig.asked = [];
  await rig.timers.pass(60_000);
  assert.deepEqual([rig.asked, rig.names.status()], [[], []]);
});

Deno.test("readServers() finds the servers of a resolv.conf", () => {
  const text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\n nameserver\tfd00::53 # the other\n";
  assert.deepEqual(readServers(text), [{ address: "192.0.2.1", port: 53 }, { address: "fd00::53", port: 53 }]);
});
