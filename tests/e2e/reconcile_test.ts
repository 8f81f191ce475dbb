/** Somebody else changes what steers packets, by bpftool or ethtool: it is put right and told, or told. */
import assert from "node:assert/strict";
import { ACTION, CONTROL, PORT_ENTRY } from "../../src/bpf/layout.gen.ts";
import type { EndedProblem, Problem, ProblemKind } from "../../src/observe/problems/kinds.ts";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { fatesOf, passedFor, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { finish, productCommand } from "./support/command.ts";
import { readMap, removeSocket, writeMap } from "./support/bpf_maps.ts";
import type { TestConfig } from "./support/config.ts";
import { until } from "./support/wait.ts";

const PORT = 8080;
const CONFIG: TestConfig = { rules: [`{ name: game, ports: ${PORT}, worker: 0 }`] };
const HALF_BYTES = 65536 * PORT_ENTRY.size;

const word = async (box: Appliance, name: keyof typeof CONTROL): Promise<number> =>
  new DataView((await readMap(box, "control", CONTROL[name])).buffer).getUint32(0, true);

/** It stands in the list, or has: what is put right at once is there for a second. */
async function told(box: Appliance, kind: ProblemKind): Promise<Problem | EndedProblem | undefined> {
  const { problems, endedProblems } = await box.problems();
  return [...problems, ...endedProblems].find((each) => each.kind === kind);
}

const untilRepaired = (box: Appliance, what: string, count: number): Promise<unknown> =>
  until(`${what} to be put right`, async () => {
    return (await box.metrics()).get(`xdpsteer_repairs_total{what="${what}"}`) === count;
  });

/** Sends, and sees that all of it is counted by the rule. @returns packets so far. */
async function send(network: TestNetwork, box: Appliance, before: number): Promise<number> {
  await runTraffic(network, "udp", { ports: [PORT], flows: 20, packetsPerFlow: 10 });
  assert.deepEqual(fatesOf(await settled(box, before + 200), "game"), { counted: before + 200 });
  return before + 200;
}

Deno.test("a port table and a control word that somebody has changed are written again, and it is told", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  let sent = await send(network, box, 0);
  const half = await word(box, "activeTable");
  const generation = await word(box, "generation");
  assert.equal(await box.problem("steering_changed"), undefined);

  const at = half * HALF_BYTES + PORT * PORT_ENTRY.size + PORT_ENTRY.action;
  const [before] = await writeMap(box, "ports", at, new Uint8Array([ACTION.DROP]));
  assert.equal(before, ACTION.REDIRECT);
  await untilRepaired(box, "port_table", 1);
  assert.equal((await readMap(box, "ports", at))[0], ACTION.REDIRECT);
  const found = await until("the problem", () => told(box, "steering_changed"));
  assert.match(
    found.message,
    new RegExp(
      `put right after at most \\d+\\.\\d s: the entry of port ${PORT} in port_to_queue_map had been changed$`,
    ),
  );
  assert.ok(box.log.some(({ message }) => message.includes("changed by somebody else, and was put right after")));
  assert.equal((await box.request("GET", "/readyz")).code, 200, "it is right again");
  sent = await send(network, box, sent);

  await writeMap(box, "control", CONTROL.activeTable, new Uint8Array([1 - half, 0, 0, 0, 99, 0, 0, 0]));
  await untilRepaired(box, "control_word", 1);
  assert.deepEqual([await word(box, "activeTable"), await word(box, "generation")], [half, generation]);
  sent = await send(network, box, sent);

  // Changes go on from there.
  await box.put({ rules: [`{ name: game, ports: [${PORT}, 9090], worker: 1 }`] });
  await box.waitForGeneration(2);
  sent = await send(network, box, sent);
  await until("nothing to be told", async () => await box.problem("steering_changed") === undefined);
  assert.equal((await told(box, "steering_changed"))!.subject.kind, "map", "who comes later hears of it");
  assert.equal((await box.metrics()).get('xdpsteer_repairs_total{what="xsk_map"}'), 0);
});

Deno.test("a program that somebody has detached is told, if only as a problem that is over, and for how long it was off", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const sent = await send(network, box, 0);
  const detach = [...productCommand(), "detach", "--interface", INTERFACES.steer, "--force"];
  assert.equal((await finish(network, detach)).code, 0);
  const found = await until("the problem", () => told(box, "program_detached"));
  assert.match(found.message, /^Interface steer0 is not attached, .*: the XDP program was detached by force$/);
  const status = await box.untilStatus("it to be attached", ({ interfaces: [steer] }) => steer!.state === "attached");
  const { reattachments, unattachedMs } = status.interfaces[0]!;
  assert.equal(reattachments, 1);
  assert.ok(unattachedMs > 0);
  assert.equal((await box.request("GET", "/readyz")).code, 200);
  const name = `xdpsteer_interface_unattached_seconds_total{interface="${INTERFACES.steer}"}`;
  assert.equal((await box.metrics()).get(name), unattachedMs / 1000);
  await until(
    "a line in the log",
    () => box.log.some(({ message }) => /is attached again after at most \d/.test(message)),
  );
  const show = [...productCommand(), "status", "--socket", box.socket];
  const { stdout } = await finish(network, show);
  assert.match(stdout, /^ended lately:\n {2}over {6}Interface steer0 is not attached, .*, over for \d+ s\)$/m);
  assert.match(stdout, /^steer0: .*; attached again 1 time, and not attached for \d+\.\d s in all$/m);
  assert.equal((await finish(network, [...show, "--check"])).code, 0);
  await send(network, box, sent);
});

Deno.test("sockets that somebody has taken out of xsk_map are put back when packets go past them", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const sent = await send(network, box, 0);
  for (let queue = 0; queue < 2; queue++) await removeSocket(box, queue * 2);
  await runTraffic(network, "udp", { ports: [PORT], flows: 20, packetsPerFlow: 10 });
  await untilRepaired(box, "xsk_map", 1);
  const status = await settled(box, sent + 200);
  const { counted } = fatesOf(status, "game");
  assert.ok(passedFor(status, "uncovered_queue") > 0);
  assert.equal(counted! + passedFor(status, "uncovered_queue"), sent + 200);
  await runTraffic(network, "udp", { ports: [PORT], flows: 20, packetsPerFlow: 10 });
  assert.deepEqual(fatesOf(await settled(box, sent + 400), "game"), { counted: counted! + 200 });
});

Deno.test("queues that are added, and an MTU that a chunk has no room for, are told until they are set back", async () => {
  await using network = await TestNetwork.create({ queues: 4 });
  const steer = (...argv: string[]): Promise<string> => network.exec("steer", argv);
  await steer("ethtool", "-L", INTERFACES.steer, "rx", "2", "tx", "2");
  await using box = await startAppliance(network, { ...CONFIG, attach: "generic" });
  await until("readiness", async () => (await box.request("GET", "/readyz")).code === 200);

  await steer("ethtool", "-L", INTERFACES.steer, "rx", "4", "tx", "4");
  const added = await until("queues", () => box.problem("queues_added"));
  assert.match(added.message, /^Interface steer0 has got queues that have no sockets \(2, 3\)/);
  const { code, body } = await box.request("GET", "/readyz");
  assert.deepEqual([code, body], [503, `${added.message}\n`]);
  assert.equal((await box.request("GET", "/livez")).code, 200);
  await steer("ethtool", "-L", INTERFACES.steer, "rx", "2", "tx", "2");
  await until("readiness", async () => (await box.request("GET", "/readyz")).code === 200);

  await steer("ip", "link", "set", "dev", INTERFACES.steer, "mtu", "3000");
  const mtu = await until("the MTU", () => box.problem("mtu_too_large"));
  assert.match(mtu.message, /^Interface steer0 has MTU 3000, and a chunk has room for packets of 1778 bytes/);
  await steer("ip", "link", "set", "dev", INTERFACES.steer, "mtu", "1500");
  await until("no problem", async () => await box.problem("mtu_too_large") === undefined);
});
