/**
 * `xdpsteer demo`: the main job on one machine, with real namespaces, a real appliance and real traffic. A viewer should
 * understand the product from it, and trust it: the sums at the end are exact.
 *
 * @module
 */
import type { Snapshot } from "../observe/observer.ts";
import { requirePrivileges } from "../host/privileges.ts";
import { SteerError } from "../errors.ts";
import { IPV4, VethNetwork } from "../traffic/veth_network.ts";
import { get } from "./client.ts";
import { deliveries, type Delivery, DemoScreen, type DemoSummary, summaryText } from "./demo_screen.ts";
import { print, printJson } from "./output.ts";
import { selfCommand } from "./self.ts";
import type { TrafficOrder, TrafficReport } from "./traffic.ts";
import { plural } from "../text.ts";

/** The ports of the seed design. */
const PORTS = [8080, 9090] as const;
const FLOWS = 64;
const RATE_PPS = 100_000;
const TRAFFIC_MS = 10_000;
/** When the two ports swap workers. */
const SWAP_MS = 5000;
/** A terminal is redrawn more often than lines are printed. */
const REFRESH_MS = Deno.stdout.isTerminal() ? 250 : 1000;
const START_MS = 10_000;
const SETTLE_MS = 3000;
const STEP_MS = 50;

const interrupted = new AbortController();

export interface DemoOptions {
  readonly json?: boolean;
  readonly entry: URL;
}

/** @throws {SteerError} when a packet was lost or went where no generation sent it. */
export async function demo({ json = false, entry }: DemoOptions): Promise<void> {
  requirePrivileges();
  const say = (line: string): void => {
    if (!json) print(line);
  };
  say("Two hosts, client and box, with a two-queue veth between them. On the box: xdpsteer with two workers.");
  const directory = await Deno.makeTempDir({ prefix: "xdpsteer-demo-" });
  // Ctrl-C ends the demo like any failure does: everything it made is removed.
  const interrupt = (): void => interrupted.abort(new SteerError("Interrupted"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, interrupt);
  try {
    await using network = await VethNetwork.create({ queues: 2, chatty: true });
    const summary = await show(network, directory, entry, json, say);
    if (json) printJson(summary);
    else print(summaryText(summary));
    if (summary.lost !== 0 || summary.misdirected !== 0) {
      throw new SteerError(`${plural(summary.lost, "packet")} lost, ${summary.misdirected} misdirected: expected none`);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function show(
  network: VethNetwork,
  directory: string,
  entry: URL,
  json: boolean,
  say: (line: string) => void,
): Promise<DemoSummary> {
  const socket = `${directory}/control.sock`;
  const file = `${directory}/steering.yaml`;
  await Deno.writeTextFile(file, config(network.interfaces.steer, socket, [0, 1]));
  say(`\n${(await Deno.readTextFile(file)).trimEnd()}\n`);

  const self = selfCommand(entry);
  const box = network.spawn("steer", [...self, "run", "--config", file], { stdout: "null" });
  const words = new Response(box.stderr).text();
  const snapshot = async (): Promise<Snapshot> => JSON.parse(await get(socket, "/v1/status"));
  await until(START_MS, "start", async () => (await get(socket, "/readyz")) !== "").catch(async (error) => {
    kill(box);
    throw new SteerError(`${error.message}\n${await words}`);
  });

  const order: TrafficOrder = {
    address: IPV4.steer,
    ports: PORTS,
    flows: FLOWS,
    packetsPerFlow: RATE_PPS * TRAFFIC_MS / 1000 / FLOWS,
    ratePps: RATE_PPS,
  };
  const sender = network.spawn("client", [...self, "traffic", "--json", JSON.stringify(order)], { stderr: "inherit" });
  const report = new Response(sender.stdout).text();
  const sending = sender.status;

  const screen = new DemoScreen(json);
  let ended = false;
  sending.then(() => ended = true);
  const start = performance.now();
  let atSwap: readonly Delivery[] | undefined;
  while (!ended) {
    await sleep(REFRESH_MS);
    const now = await snapshot();
    screen.show(now);
    if (atSwap === undefined && performance.now() - start >= SWAP_MS) {
      await replace(file, config(network.interfaces.steer, socket, [1, 0]));
      await until(SETTLE_MS, "take the change", async () => (await snapshot()).generation === 2);
      await sleep(STEP_MS * 4); // what was on its way under the old generation has arrived
      atSwap = deliveries(await snapshot());
      screen.note("steering.yaml was saved: 8080 -> worker 1, 9090 -> worker 0. No restart, no pause.");
    }
  }
  if (!(await sending).success) throw new SteerError("The sender failed");
  const { sentPerPort } = JSON.parse(await report) as TrafficReport;
  const sent = PORTS.reduce((sum, port) => sum + sentPerPort[port]!, 0);
  await until(SETTLE_MS, "count the last packets", async () => (await snapshot()).totals.received >= sent).catch(
    () => {},
  );
  const last = await snapshot();
  screen.show(last);

  box.kill("SIGTERM");
  const { code } = await box.status;
  if (code !== 0) throw new SteerError(`The appliance ended with ${code}\n${await words}`);
  await words;
  return summarize(sentPerPort, atSwap ?? [], deliveries(last), last);
}

function summarize(
  sentPerPort: Readonly<Record<string, number>>,
  atSwap: readonly Delivery[],
  end: readonly Delivery[],
  { totals, generation }: Snapshot,
): DemoSummary {
  const sum = (list: readonly Delivery[], port: number, worker: number): number =>
    list.reduce((total, entry) => total + (entry.port === port && entry.worker === worker ? entry.packets : 0), 0);
  const ports = PORTS.map((port, before) => {
    const after = 1 - before;
    const workers = [sum(end, port, 0), sum(end, port, 1)];
    return {
      port,
      sent: sentPerPort[port]!,
      before: { worker: before, packets: workers[before]! },
      after: { worker: after, packets: workers[after]! },
      // Whatever the old worker still got after the change was in force.
      late: workers[before]! - sum(atSwap, port, before),
    };
  });
  const sent = ports.reduce((total, port) => total + port.sent, 0);
  return {
    generation,
    ports,
    sent,
    received: totals.received,
    lost: sent - totals.received,
    misdirected: ports.reduce((total, { late }) => total + late, 0),
    socketDrops: totals.socketDrops,
  };
}

function config(interfaceName: string, socket: string, [first, second]: readonly [number, number]): string {
  return `version: 1
interfaces:
  - name: ${interfaceName}
workers:
  count: 2
steering:
  - { name: web, ports: ${PORTS[0]}, worker: ${first}, action: count }
  - { name: telemetry, ports: ${PORTS[1]}, worker: ${second}, action: count }
control: { socket: ${socket}, http: "off" }
`;
}

/** As an editor saves: whole, by rename. */
async function replace(file: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${file}.new`, text);
  await Deno.rename(`${file}.new`, file);
}

async function until(limitMs: number, what: string, condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > end) throw new SteerError(`The appliance did not ${what} within ${limitMs} ms`);
    await sleep(STEP_MS);
  }
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended already.
  }
}

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  interrupted.signal.throwIfAborted();
}
