import fc from "fast-check";
import assert from "node:assert/strict";
import { parseConfig, recheck } from "./parse.ts";
import { common, merged, samePorts, without } from "../steering/port_set.ts";
import { listPorts, readOrder, readPortList, setPorts, unsetPorts } from "./remap.ts";
import type { Config } from "./schema.ts";
import { HEAD } from "./testing.ts";
import type { PortRange, Rule } from "../steering/rule.ts";

const WORKERS = 4;
const CONFIG = parseConfig(HEAD, { file: "", cpuCount: WORKERS });

const one = (first: number, last = first): PortRange => ({ first, last });

const RULES: readonly Rule[] = [
  {
    name: "game",
    ports: [one(7777), one(27015, 27030)],
    worker: 0,
    action: { kind: "echo" },
    addresses: "own",
    fragments: "drop",
  },
  { name: "tele", ports: [one(9090)], worker: 1, action: { kind: "count" }, addresses: "own", fragments: "drop" },
];

function set(ports: string, worker: unknown, more: { action?: string; rule?: string } = {}): Rule[] {
  return setPorts(RULES, readOrder({ ports, worker, ...more }, CONFIG));
}

Deno.test("a rule with exactly these ports changes in place and keeps its action", () => {
  assert.deepEqual(set("27015-27030,7777", 3), [{ ...RULES[0], worker: 3 }, RULES[1]]);
  assert.deepEqual(set("9090", "hash", { action: "drop" }), [RULES[0], {
    ...RULES[1],
    worker: "hash",
    action: { kind: "drop" },
  }]);
});

Deno.test("a part of a rule's ports gets a rule of its own, with the action they had", () => {
  assert.deepEqual(set("27020", "2"), [
    { ...RULES[0], ports: [one(7777), one(27015, 27019), one(27021, 27030)] },
    RULES[1],
    {
      name: "port-27020",
      ports: [one(27020)],
      worker: 2,
      action: { kind: "echo" },
      addresses: "own",
      fragments: "drop",
    },
  ]);
  assert.deepEqual(set("5,1-3", 2).at(-1), {
    name: "ports-1-3_5",
    ports: [one(1, 3), one(5)],
    worker: 2,
    action: { kind: "count" },
    addresses: "own",
    fragments: "drop",
  });
});

Deno.test("a named rule takes ports where that changes nothing for its others, else it is refused", () => {
  assert.deepEqual(set("5", 0, { rule: "game", action: "echo" })[0], {
    ...RULES[0],
    ports: [...RULES[0]!.ports, one(5)],
  });
  assert.deepEqual(set("9090,7777", 0, { rule: "tele", action: "drop" }), [
    { ...RULES[0], ports: [one(27015, 27030)] },
    {
      name: "tele",
      ports: [one(9090), one(7777)],
      worker: 0,
      action: { kind: "drop" },
      addresses: "own",
      fragments: "drop",
    },
  ]);
  assert.throws(() => set("7777", 1, { rule: "game" }), /"game" has other ports too \(27015-27030\), with worker 0/);
  assert.deepEqual(set("5", 1, { rule: "new" }).at(-1), {
    name: "new",
    ports: [one(5)],
    worker: 1,
    action: { kind: "count" },
    addresses: "own",
    fragments: "drop",
  });
});

Deno.test("ports that get a rule of their own keep what becomes of their fragments", () => {
  const rules = RULES.map((rule): Rule => ({ ...rule, fragments: "pass" }));
  const change = { ports: [one(7777)], worker: 1, action: undefined, rule: undefined } as const;
  assert.equal(setPorts(rules, change).at(-1)!.fragments, "pass");
  assert.equal(setPorts(RULES, change).at(-1)!.fragments, "drop");
});

Deno.test("ports that get a rule of their own keep the limit of the rules that they come from, where it is one", () => {
  const limit = { perSource: null, total: null, ipv4Prefix: 32, ipv6Prefix: 64, ban: null, mode: "observe" } as const;
  const change = { ports: [one(7777)], worker: 1, action: undefined, rule: undefined } as const;
  assert.deepEqual(setPorts(RULES.map((rule): Rule => ({ ...rule, limit })), change).at(-1)!.limit, limit);
  assert.equal("limit" in setPorts(RULES, change).at(-1)!, false);
});

/** A rule that forwards, as the configuration has it. */
const [WEB] = parseConfig(
  `${HEAD}steering: [{ name: web, ports: 27015-27030, worker: 0, action: { forward: { to: ["10.0.0.1:53"], idle_timeout: 5 } } }]`,
  { file: "", cpuCount: WORKERS },
).steering as [Rule];

Deno.test("a part of a forwarding rule's ports that moves keeps the action with all its settings", () => {
  assert.deepEqual(setPorts([WEB], readOrder({ ports: "27015", worker: 1 }, CONFIG)), [
    { ...WEB, ports: [one(27016, 27030)] },
    { ...WEB, name: "port-27015", ports: [one(27015)], worker: 1 },
  ]);
});

Deno.test("an action given as a map is checked as the file's, and kept; a word takes the place of a map", () => {
  const to = ["10.0.0.9:9000"];
  const order = { ports: 5, worker: 1, action: { forward: { to, mode: "dsr" } } };
  const { action } = setPorts([WEB], readOrder(order, CONFIG)).at(-1)!;
  assert.ok(action.kind === "forward" && action.mode === "dsr" && action.to[0]!.name === to[0]);
  assert.throws(() => readOrder({ ...order, action: { forward: { to: [] } } }, CONFIG), /to is an empty list/);
  assert.throws(() => readOrder({ ...order, action: { forward: { to }, echo: 1 } }, CONFIG), /unknown key "echo"/);
  assert.throws(() => readOrder({ ...order, action: "forward" }, CONFIG), /action "forward" is not known/);
  assert.deepEqual(
    setPorts([WEB], readOrder({ ports: "27015-27030", worker: 0, action: "count", rule: "web" }, CONFIG)),
    [{ ...WEB, action: { kind: "count" } }],
  );
});

Deno.test("new ports of a rule that is named get what it does", () => {
  assert.deepEqual(setPorts([WEB], readOrder({ ports: "5", worker: 0, rule: "web" }, CONFIG)), [
    { ...WEB, ports: [one(27015, 27030), one(5)] },
  ]);
});

Deno.test("a capture stays with what is left of its rule, and goes along where a rule only gets another name", () => {
  const [game] = parseConfig(
    `${HEAD}steering: [{ name: game, ports: 1-9, worker: 0, capture: /var/lib/xdpsteer/a.pcapng }]`,
    {
      file: "",
      cpuCount: WORKERS,
    },
  ).steering as [Rule];
  const { capture: _, ...plain } = game;
  const after = (ports: string, rule?: string): Rule[] =>
    setPorts([game], readOrder({ ports, worker: 0, ...(rule === undefined ? {} : { rule }) }, CONFIG));
  assert.deepEqual(after("5-9", "new"), [{ ...game, ports: [one(1, 4)] }, {
    ...plain,
    name: "new",
    ports: [one(5, 9)],
  }]);
  assert.deepEqual(after("1-9", "new"), [{ ...game, name: "new" }]);
  assert.deepEqual(after("1-9"), [game]);
  for (const rules of [after("5-9"), after("1-9", "new")]) recheck({ ...CONFIG, steering: rules });
  const order = readOrder({ ports: "1-9", worker: 0, rule: "new", action: "drop" }, CONFIG);
  assert.throws(
    () => recheck({ ...CONFIG, steering: setPorts([game], order) }),
    /capture is not possible with action "drop"/,
  );
});

Deno.test("drop and pass need no worker: a rule keeps its own, a new one has hash", () => {
  const after = (ports: string, action: string, rule?: string): Rule[] =>
    setPorts(RULES, readOrder({ ports, action, ...(rule === undefined ? {} : { rule }) }, CONFIG));
  assert.deepEqual(after("9090", "drop"), [RULES[0], { ...RULES[1], action: { kind: "drop" } }]);
  assert.deepEqual(after("5", "pass").at(-1), {
    name: "port-5",
    ports: [one(5)],
    worker: "hash",
    action: { kind: "pass" },
    addresses: "own",
    fragments: "drop",
  });
  assert.throws(() => after("5", "echo"), /missing key "worker"/);
});

Deno.test("ports of two rules that forward to different backends do not have one action", () => {
  const other: Rule = {
    ...WEB,
    name: "other",
    ports: [one(6)],
    action: { ...WEB.action, remapPort: 7 } as Rule["action"],
  };
  assert.throws(
    () => setPorts([WEB, other], readOrder({ ports: "6,27015", worker: 1 }, CONFIG)),
    /do not have one action/,
  );
});

Deno.test("recheck() refuses what the file's checks refuse", () => {
  const after = (order: Parameters<typeof readOrder>[0], rules: readonly Rule[] = [WEB]): Config => ({
    ...CONFIG,
    steering: setPorts(rules, readOrder(order, CONFIG)),
  });
  assert.throws(
    () => recheck(after({ ports: 61000, worker: 0 })),
    /port 61000 of rule "port-61000" overlaps the translation ports 61000-65535/,
  );
  const [captured] = parseConfig(`${HEAD}steering: [{ name: a, ports: 1, capture: /var/lib/xdpsteer/a.pcapng }]`, {
    file: "",
    cpuCount: 4,
  })
    .steering as [Rule];
  assert.throws(
    () => recheck(after({ ports: 1, worker: 0, action: "drop" }, [captured])),
    /capture is not possible with action "drop"/,
  );
  const fine = after({ ports: 60000, worker: 0 });
  assert.deepEqual(recheck(fine), fine);
});

Deno.test("ports with several actions need one to be named", () => {
  assert.throws(() => set("7777,9090", 2), /would be echo for 7777, and count for 9090/);
  assert.throws(() => set("7776-7777", 2), /would be echo for 7777, and count for 7776/);
  assert.deepEqual(set("7777,9090", 2, { action: "pass" }).at(-1)!.action, { kind: "pass" });
});

Deno.test("names are made unique, and short enough", () => {
  const taken: Rule[] = [{
    name: "port-5",
    ports: [one(6)],
    worker: 0,
    action: { kind: "count" },
    addresses: "own",
    fragments: "drop",
  }];
  assert.equal(setPorts(taken, readOrder({ ports: "5", worker: 1 }, CONFIG)).at(-1)!.name, "port-5-2");
  const many = Array.from({ length: 40 }, (_, index) => 100 + 2 * index).join(",");
  assert.equal(set(many, 1).at(-1)!.name, "ports-100-and-39-more");
});

Deno.test("an order is checked in the words of the configuration file", () => {
  const says = (order: Parameters<typeof readOrder>[0], message: RegExp): void =>
    assert.throws(() => readOrder(order, CONFIG), message);
  says({ ports: "1", worker: 4 }, /^SteerError: worker 4 does not exist: expected 0 to 3, or hash/);
  says({ ports: "0", worker: 1 }, /port 0 is out of range/);
  says({ ports: "9-1", worker: 1 }, /runs backwards/);
  says({ ports: "", worker: 1 }, /port "" is not a port/);
  says({ worker: 1 }, /missing key "ports"/);
  says(
    { ports: "1" },
    /missing key "worker": expected a worker id or hash; only action pass and drop or forward need none/,
  );
  says({}, /missing key "worker": .*\nmissing key "ports"/);
  says({ ports: "1", worker: 1, action: "explode" }, /action "explode" is not known/);
  says({ ports: "1", worker: 1, rule: "no good" }, /rule name "no good" is not valid/);
  assert.deepEqual(readPortList("5,1-3,2"), [one(1, 3), one(5)]);
});

Deno.test("a set of more rules than there may be is refused", () => {
  const full = Array.from({ length: 4096 }, (_, index): Rule => ({
    name: `r${index}`,
    ports: [one(index + 1)],
    worker: 0,
    action: { kind: "count" },
    addresses: "own",
    fragments: "drop",
  }));
  const after = (ports: string): Config => ({
    ...CONFIG,
    steering: setPorts(full, readOrder({ ports, worker: 1 }, CONFIG)),
  });
  assert.throws(() => recheck(after("5000")), /steering has too many rules: expected at most 4096/);
  assert.equal(recheck(after("50")).steering.length, 4096);
});

const range = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.nat(8)).map(([first, length]) => one(first, first + length));
const ranges = fc.array(range, { maxLength: 8 });

function expand(list: readonly PortRange[]): Set<number> {
  const ports = new Set<number>();
  for (const { first, last } of list) for (let port = first; port <= last; port++) ports.add(port);
  return ports;
}

Deno.test("port sets are sets", () => {
  fc.assert(fc.property(ranges, ranges, (left, right) => {
    const [a, b] = [expand(left), expand(right)];
    assert.deepEqual(expand(merged(left)), new Set([...a].sort((x, y) => x - y)));
    assert.deepEqual(new Set(expand(without(left, right))), a.difference(b));
    assert.deepEqual(expand(common(left, right)), new Set([...a.intersection(b)].sort((x, y) => x - y)));
    assert.equal(samePorts(left, right), a.symmetricDifference(b).size === 0);
    const runs = merged(left);
    assert.ok(runs.every(({ first }, index) => index === 0 || first > runs[index - 1]!.last + 1));
  }));
});

Deno.test("after a set exactly these ports have what was asked, all others what they had", () => {
  const text = (list: readonly PortRange[]): string => list.map(({ first, last }) => `${first}-${last}`).join(",");
  const whereOf = (rules: readonly Rule[]): Map<number, string> => {
    const where = new Map<number, string>();
    for (const { first, last, worker, action } of listPorts(rules)) {
      for (let port = first; port <= last; port++) {
        assert.equal(where.has(port), false, `port ${port} is in two rules`);
        where.set(port, `${worker} ${action}`);
      }
    }
    return where;
  };
  const orders = fc.array(fc.tuple(fc.array(range, { minLength: 1, maxLength: 4 }), fc.nat(WORKERS)), {
    maxLength: 12,
  });
  fc.assert(fc.property(orders, (list) => {
    let rules: Rule[] = [];
    const model = new Map<number, string>();
    for (const [ports, worker] of list) {
      if (worker === WORKERS) {
        rules = unsetPorts(rules, readPortList(text(ports)));
        for (const port of expand(ports)) model.delete(port);
      } else {
        rules = setPorts(rules, readOrder({ ports: text(ports), worker, action: "echo" }, CONFIG));
        for (const port of expand(ports)) model.set(port, `${worker} echo`);
      }
      assert.deepEqual(whereOf(rules), new Map([...model].sort(([x], [y]) => x - y)));
      assert.ok(rules.every(({ ports: left }) => left.length > 0));
      assert.equal(new Set(rules.map(({ name }) => name)).size, rules.length);
    }
  }));
});

Deno.test("with backends alone, what else the action says stays; ports that do not forward begin to, on any worker", () => {
  const forward = parseConfig(
    `${HEAD}steering: [{ name: dns, ports: 53, worker: 1, action: { forward: { idle_timeout: 5, to: ` +
      `["10.0.0.1:53", { address: "10.0.0.2:53", weight: 3 }] } } }]`,
    { file: "", cpuCount: WORKERS },
  ).steering;
  const to = (text: string, ports: string, rules: readonly Rule[]): Rule =>
    setPorts(rules, readOrder({ ports, to: text }, CONFIG)).at(-1)!;
  const dns = to("10.0.0.2:53,10.0.0.3:53", "53", forward);
  assert.ok(dns.action.kind === "forward");
  assert.deepEqual([dns.worker, dns.action.idleTimeout], [1, 5]);
  assert.deepEqual(dns.action.to.map(({ name, weight }) => `${name} ${weight}`), ["10.0.0.2:53 3", "10.0.0.3:53 1"]);
  const fresh = to("[fd00::1]:80", "8080", RULES);
  assert.ok(fresh.action.kind === "forward");
  assert.deepEqual([fresh.name, fresh.worker, fresh.action.to.map(({ name }) => name)], [
    ...["port-8080", "hash", ["[fd00::1]:80"]],
  ]);
  assert.throws(() => readOrder({ ports: "1", to: "10.0.0" }, CONFIG), /backend "10\.0\.0" has an address that is not/);
  assert.throws(
    () => readOrder({ ports: "1", to: "10.0.0.1:5", action: "drop" }, CONFIG),
    /"to" and "action" are both/,
  );
});
