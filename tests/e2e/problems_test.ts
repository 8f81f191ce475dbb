import assert from "node:assert/strict";
import { entryOf, type Problem, type ProblemKind } from "../../src/observe/problems/kinds.ts";
import type { BackendWords } from "../../src/observe/backend_words.ts";
import { INTERFACES, TestNetwork } from "../support/netns.ts";
import { fatesOf } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import {
  BACK,
  backendAddress,
  BackendHost,
  backendName,
  Clients,
  FAMILIES,
  FAR,
  forwardConfig,
  forwardTo,
} from "./support/backends.ts";
import { finish, productCommand } from "./support/command.ts";
import { until } from "./support/wait.ts";

const PORT = 8080;
const CHECK = ", health: { check: udp, interval: 0.2, timeout: 0.15, rise: 1, fall: 1 }";

interface Health {
  readonly code: number;
  readonly body: string;
}

const ask = (box: Appliance, path: string): Promise<Health> => box.request("GET", path);

/** All that tells of a problem, once the list has it. */
async function assertTold(
  box: Appliance,
  network: TestNetwork,
  kind: ProblemKind,
  notReady: readonly string[],
): Promise<Problem> {
  const problem = await until(kind, () => box.problem(kind));
  const { message, fix } = problem;
  const status = JSON.parse((await ask(box, "/v1/status")).body) as { problems: Problem[]; ready: boolean };
  assert.ok(status.problems.some((each) => each.message === message));
  assert.equal(status.ready, !notReady.includes("/readyz"));
  assert.equal((await box.metrics()).get(`xdpsteer_problems{kind="${kind}"}`), 1);
  const text = await xdpsteer(box, network);
  assert.ok(text.stdout.includes(message) && text.stdout.includes(`fix: ${fix}`), text.stdout);
  const check = await xdpsteer(box, network, "--check");
  assert.equal(check.code, 1);
  assert.match(check.stdout, /^xdpsteer (CRITICAL|WARNING): /);
  assert.ok(check.stdout.includes(message), check.stdout);
  // Of these the log says more, from where they were found.
  if (!entryOf(kind).logged) await until("a line in the log", () => box.log.some((line) => line.message === message));
  for (const path of ["/livez", "/healthz", "/readyz", "/readyz?rule=web"]) {
    const { code, body } = await ask(box, path);
    assert.equal(code, notReady.includes(path) ? 503 : 200, `${path}: ${body}`);
    if (code === 503) assert.ok(body.includes(message), body);
  }
  return problem;
}

/** It is over: nothing tells of it any more, and the log says so. */
async function assertOver(box: Appliance, network: TestNetwork, { kind, message }: Problem): Promise<void> {
  await until(`the end of ${kind}`, async () => (await ask(box, "/readyz?rule=web")).code === 200);
  await until("a line in the log", () => box.log.some((line) => line.message === `Over: ${message}`));
  assert.equal((await box.metrics()).get(`xdpsteer_problems{kind="${kind}"}`), 0);
  await until("no problem", async () => (await xdpsteer(box, network, "--check")).code === 0);
}

const xdpsteer = (box: Appliance, network: TestNetwork, ...more: string[]): ReturnType<typeof finish> =>
  finish(network, [...productCommand(), "status", "--socket", box.socket, ...more]);

/** What the dashboard is told first. */
async function firstTick({ socket }: Appliance): Promise<{ readonly backends: readonly BackendWords[] }> {
  using connection = await Deno.connect({ transport: "unix", path: socket });
  await connection.write(new TextEncoder().encode("GET /v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n"));
  let text = "";
  for await (const part of connection.readable.pipeThrough(new TextDecoderStream())) {
    text += part;
    const tick = /^event: tick\ndata: (.*)$/m.exec(text);
    if (tick !== null && text.endsWith("\n")) return JSON.parse(tick[1]!);
  }
  throw new Error(`the stream ended: ${text}`);
}

/** Client, box and backends; one of them serves. */
async function start(stack: AsyncDisposableStack, rule: string): Promise<[TestNetwork, BackendHost, Appliance]> {
  const network = stack.use(await TestNetwork.create());
  const host = stack.use(await BackendHost.create(network));
  await host.serve("IPv4", 1);
  const interfaces = [INTERFACES.steer, BACK];
  const box = stack.use(await startAppliance(network, (socket) => forwardConfig(socket, [rule], { interfaces })));
  await until("no problem", async () => (await xdpsteer(box, network, "--check")).code === 0);
  return [network, host, box];
}

const NOT_READY = ["/healthz", "/readyz", "/readyz?rule=web"];

Deno.test("a rule whose backend dies is told everywhere, and so is the end; the process is not to be restarted", async () => {
  await using stack = new AsyncDisposableStack();
  const [network, host, box] = await start(stack, forwardTo(PORT, [1], { families: ["IPv4"], more: CHECK }));
  await host.stop("IPv4", 1);
  const problem = await assertTold(box, network, "rule_without_backend", ["/readyz", "/readyz?rule=web"]);
  assert.match(problem.message, /^Rule web has no usable backend, so its packets are lost: .* fails its health check$/);
  await host.serve("IPv4", 1);
  await assertOver(box, network, problem);
  assert.equal((await ask(box, "/readyz?rule=dns")).code, 404);
});

Deno.test("a backend without a route: the fix that is told adds one, and the problem is over", async () => {
  await using stack = new AsyncDisposableStack();
  const [network, , box] = await start(stack, forwardTo(PORT, [1], { families: ["IPv4"] }));
  await network.exec("steer", ["ip", "route", "del", "10.12.0.0/24", "dev", BACK]);
  const problem = await assertTold(box, network, "rule_without_backend", ["/readyz", "/readyz?rule=web"]);
  const command = problem.fix!.split(",")[0]!.replace("INTERFACE", BACK);
  assert.match(command, /^ip route add 10\.12\.0\.11 dev /);
  await network.exec("steer", command.split(" "));
  await assertOver(box, network, problem);
});

/** Sends as many datagrams of 1400 bytes, without DF: of those no router tells the sender that they are too big. */
const SEND_WITHOUT_DF = `
import socket, sys
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.setsockopt(socket.IPPROTO_IP, 10, 0) # MTU_DISCOVER
for _ in range(int(sys.argv[3])): made.sendto(b"x" * 1400, (sys.argv[1], int(sys.argv[2])))
`;

Deno.test("packets too large for the way out: a few are no problem, a part of a rule's packets is", async () => {
  await using stack = new AsyncDisposableStack();
  const [network, , box] = await start(stack, forwardTo(PORT, [1], { families: ["IPv4"] }));
  await network.exec("steer", ["ip", "link", "set", BACK, "mtu", "1300"]);
  await box.untilStatus("the MTU", ({ backends }) => backends[0]!.nextHop?.mtu === 1300);
  const send = (count: number): Promise<string> =>
    network.exec("client", ["/usr/bin/python3", "-c", SEND_WITHOUT_DF, FAMILIES.IPv4.service, `${PORT}`, `${count}`]);
  await send(1);
  await box.untilStatus("a packet too big", (status) => fatesOf(status, "web").too_big === 1);
  await send(20);
  const problem = await assertTold(box, network, "packets_too_big", []);
  assert.match(problem.message, /^100 % of the packets of rule web are dropped: they are larger than the MTU /);
  await assertOver(box, network, problem);
});

Deno.test("a next hop that is dead, and a backend out of the rules that is nobody's problem", async () => {
  await using stack = new AsyncDisposableStack();
  const [network, host, box] = await start(stack, forwardTo(PORT, [1], { families: ["IPv4"] }));
  await host.exec(["ip", "address", "del", `${backendAddress("IPv4", 1)}/24`, "dev", FAR]);
  await network.exec("steer", ["ip", "neighbour", "flush", "dev", BACK]);
  const name = backendName("IPv4", 1);
  await until("the backend to be unreachable", async () => {
    const problems = (await box.status() as unknown as { problems: Problem[] }).problems;
    return problems.some(({ kind, subject }) => kind === "next_hop_dead" && subject.name === name);
  });
  assert.equal((await box.metrics()).get(`xdpsteer_backend_reachable{backend="${name}"}`), 0);
  await box.writeConfig(forwardConfig(box.socket, [`{ name: web, ports: ${PORT}, action: echo }`], {
    interfaces: [INTERFACES.steer, BACK],
  }));
  await until("no problem", async () => (await xdpsteer(box, network, "--check")).code === 0);
  const about = [...(await box.metrics()).keys()].filter((key) =>
    key.includes(name) && !/_(sessions|leaving|draining|packets_total|answer_seconds_\w+)\{/.test(key)
  );
  assert.deepEqual(about, [], "nothing that an alert could fire on");
});

Deno.test("a backend that leaves is shown with its sessions by status, top and the dashboard's stream, until they have ended", async () => {
  await using stack = new AsyncDisposableStack();
  const web = (numbers: readonly number[], more = ""): string => forwardTo(PORT, numbers, { families: ["IPv4"], more });
  const [network, host, box] = await start(stack, web([1]));
  await using clients = await Clients.start(network, { address: FAMILIES.IPv4.service, port: PORT, clients: 3 });
  await clients.ready();
  await host.serve("IPv4", 2);
  const config = (rule: string): string => forwardConfig(box.socket, [rule], { interfaces: [INTERFACES.steer, BACK] });
  await box.writeConfig(config(web([2])));
  const name = backendName("IPv4", 1);
  const top = (): ReturnType<typeof finish> =>
    finish(network, [...productCommand(), "top", "--once", "--interval", "0.2", "--socket", box.socket]);
  const row = new RegExp(`^${RegExp.escape(name)} +\\(leaving for \\d+ s\\) +leaving .*\\b3\\b`, "m");
  for (const show of [() => xdpsteer(box, network), top]) {
    await until("the backend that leaves", async () => row.test((await show()).stdout));
  }
  const shown = await firstTick(box);
  assert.match(shown.backends.find((each) => each.name === name)!.rules, /^\(leaving for \d+ s\)$/);
  await clients.stop();
  await box.writeConfig(config(web([2], ", idle_timeout: 1")));
  await until("nothing of it", async () => !(await xdpsteer(box, network)).stdout.includes(name));
  assert.doesNotMatch((await top()).stdout, /leaving/);
  assert.deepEqual((await firstTick(box)).backends.map((each) => each.name), [backendName("IPv4", 2)]);
});

Deno.test("an interface that is deleted, and one in its place that cannot be attached, are told everywhere; both end", async () => {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await TestNetwork.create());
  const rules = [`{ name: web, ports: ${PORT}, action: echo }`];
  const interfaces = [INTERFACES.steer];
  const box = stack.use(await startAppliance(network, (socket) => forwardConfig(socket, rules, { interfaces })));
  const steer = (...words: string[]): Promise<string> => network.exec("steer", ["ip", "link", ...words]);
  await steer("delete", INTERFACES.steer);
  const gone = await assertTold(box, network, "interface_gone", NOT_READY);
  const peer = ["peer", "name", INTERFACES.client, "mtu", "9000", "netns", network.names.client];
  await steer("add", INTERFACES.steer, "mtu", "9000", "type", "veth", ...peer); // too large for native XDP
  await steer("set", INTERFACES.steer, "up");
  await network.exec("client", ["ip", "link", "set", INTERFACES.client, "up"]);
  await until("the next", async () => (await box.metrics()).get('xdpsteer_problems{kind="interface_gone"}') === 0);
  const detached = await assertTold(box, network, "program_detached", NOT_READY);
  assert.match((await xdpsteer(box, network)).stdout, new RegExp(`^${INTERFACES.steer}: (DETACHED|ATTACHING) `, "m"));
  await network.exec("client", ["ip", "link", "set", INTERFACES.client, "mtu", "1500"]);
  await steer("set", INTERFACES.steer, "mtu", "1500");
  await assertOver(box, network, gone);
  await assertOver(box, network, detached);
});
