/** Backends and rules that come, go and change their names, one reload after another, while a thousand clients talk. */
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { SIZE } from "../support/sizes.ts";
import { settled } from "./support/accounts.ts";
import { startAppliance, type Status } from "./support/appliance.ts";
import { BACK, BackendHost, backendName, BOTH, Clients, FAMILIES, forwardConfig } from "./support/backends.ts";
import { memoryKib } from "./support/memory.ts";
import { until } from "./support/wait.ts";

const RULES = [
  { name: "web", port: 8080, backends: [1, 2] },
  { name: "game", port: 8081, backends: [3, 4] },
] as const;
/** Of each rule and family. */
const CLIENTS = 250;
/** Backends that no client ever reaches; other ones after each reload. */
const PASSING = 60;
const TALKS = RULES.flatMap((rule) => BOTH.map((family) => ({ ...rule, address: FAMILIES[family].service })));
/** Requests that are answered between two reloads. */
const BETWEEN = 100;
/**
 * Resident memory may grow so much from the second quarter of the reloads to the last, each at its lowest: V8 keeps
 * pages that it has had, and gives some back, 20 MiB up and down.
 */
const GROWTH_KIB = SIZE.churnReloads < 1000 ? 65_536 : 24_576;

const received = ({ totals }: Status): number => totals.received;
/** Of the interface to the backends: addresses that nobody has. */
const passing = (turn: number): string[] =>
  Array.from({ length: PASSING }, (_, index) => {
    const host = 60 + (turn * 7 + index) % 180;
    return index % 2 === 0 ? `10.12.0.${host}:${1000 + turn}` : `[fd12::${host}]:${1000 + turn}`;
  });

/** Rules after so many reloads: other names, one backend more or less, and others that nobody uses. */
function rulesAt(turn: number): string[] {
  const rules = RULES.map(({ name, port, backends }, index) => {
    const named = (turn + index) % 3 === 0 ? backends.slice(0, 1) : backends;
    const to = JSON.stringify(BOTH.flatMap((family) => named.map((number) => backendName(family, number))));
    return `{ name: ${name}-${turn % 5}, ports: ${port}, action: { forward: { to: ${to} } } }`;
  });
  const other = `{ name: other-${turn}, ports: ${9000 + turn % 7}, action: { forward: { to: ${
    JSON.stringify(passing(turn))
  } } } }`;
  return turn % 2 === 0 ? [...rules, other] : [other, ...rules.toReversed()];
}

Deno.test(`${SIZE.churnReloads} reloads add, remove and rename backends and rules: each packet goes to a backend of its rule`, async () => {
  await using network = await TestNetwork.create();
  await using host = await BackendHost.create(network, { backends: 4 });
  for (const { backends } of RULES) {
    for (const family of BOTH) for (const number of backends) await host.serve(family, number);
  }
  const config = (socket: string, turn: number): string =>
    forwardConfig(socket, rulesAt(turn), { more: ["forwarding: { table_size: 1021 }"] });
  await using box = await startAppliance(network, (socket) => config(socket, 1), { favoured: true });
  await using stack = new AsyncDisposableStack();
  const talks: Clients[] = [];
  for (const { address, port } of TALKS) {
    const clients = await Clients.start(network, { address, port, clients: CLIENTS });
    talks.push(stack.use(clients));
  }
  for (const clients of talks) await clients.ready();
  const memory: number[] = [];
  for (let turn = 2; turn < SIZE.churnReloads + 2; turn++) {
    const from = received(await box.status());
    const { code, body } = await box.put(config(box.socket, turn));
    assert.equal(code, 200, body);
    await box.untilStatus("requests", (status) => received(status) >= from + BETWEEN);
    memory.push(memoryKib(box));
    if (turn % 10 !== 0) continue;
    for (const { address, port, backends } of TALKS) {
      const newcomers = { address, port, clients: 10, requests: 1 };
      await using clients = await Clients.start(network, newcomers);
      const { lost, wrong, answersOf } = await clients.report();
      assert.deepEqual({ lost, wrong }, { lost: 0, wrong: 0 });
      assert.ok(Object.keys(answersOf).every((number) => backends.map(String).includes(number)), `turn ${turn}`);
    }
  }
  const { code, body } = await box.put(
    forwardConfig(box.socket, rulesAt(4).slice(0, RULES.length), { more: ["forwarding: { table_size: 1021 }"] }),
  );
  assert.equal(code, 200, body);
  // What nobody uses is forgotten, and no neighbour is asked for that is not there.
  await until("the others to be forgotten", async () => (await box.status()).backends.length <= 8);
  await network.exec("steer", ["ip", "neighbour", "flush", "dev", BACK, "nud", "failed", "nud", "incomplete"]);
  const reports = await Promise.all(talks.map((clients) => clients.stop()));
  const neighbours = await network.exec("steer", ["ip", "neighbour", "show", "dev", BACK]);
  assert.doesNotMatch(neighbours, /INCOMPLETE|FAILED/);

  const status = await settled(box);
  for (const [index, { backends }] of TALKS.entries()) {
    const { lost, wrong, late, moved, answersOf } = reports[index]!;
    assert.deepEqual({ lost, wrong, late, moved }, { lost: 0, wrong: 0, late: 0, moved: 0 });
    assert.deepEqual(Object.keys(answersOf), backends.map(String));
  }
  const fates = Object.entries(status.totals.fates).filter(([, packets]) => packets > 0).map(([fate]) => fate);
  assert.deepEqual(fates.sort(), ["forwarded", "returned"]);
  const quarter = memory.length >> 2;
  const [early, late] = [memory.slice(quarter, 2 * quarter), memory.slice(-quarter)].map((part) => Math.min(...part));
  assert.ok(late! - early! < GROWTH_KIB, `from ${early} to ${late} KiB since the second quarter`);
});
