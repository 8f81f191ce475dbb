/**
 * `xdpsteer demo`: the main job on one machine, with real namespaces, a real appliance and real traffic. A viewer
 * should understand the product from it, and trust it: the sums at the end are exact.
 *
 * @module
 */
import type { Snapshot } from "../observe/observer.ts";
import { requirePrivileges } from "../host/privileges.ts";
import { SteerError } from "../errors.ts";
import { IPV4, VethNetwork } from "../traffic/veth_network.ts";
import { get } from "./client.ts";
import { deliveries, type DemoSummary, isPerfect, summarize } from "./demo_account.ts";
import { DemoScreen, summaryText } from "./demo_screen.ts";
import { DemoSender } from "./demo_sender.ts";
import { print, printJson } from "./output.ts";
import { selfCommand } from "./self.ts";
import { plural } from "../text.ts";

/** The ports of the seed design. */
const PORTS = [8080, 9090] as const;
const FLOWS = 64;
/** At most; less where the machine takes less. */
const RATE_PPS = 100_000;
/**
 * Packets under way at most: fewer than any ring on their way holds, so that none is lost where a worker or the kernel
 * has to wait for a CPU, however long. An rx ring holds 2048. A veth's own ring holds 256, and Linux before 6.16 drops
 * what does not fit there.
 */
const WINDOW_PACKETS = { afterVethWaits: 1536, beforeVethWaits: 256 } as const;
const VETH_WAITS_SINCE = [6, 16] as const;
/** Before the two ports swap workers, and once more after. */
const HALF_MS = 6000;
/** How often the sender is granted what has arrived. */
const LOOK_MS = 5;
/** A terminal is redrawn more often than lines are printed. */
const REFRESH_MS = Deno.stdout.isTerminal() ? 250 : 1000;
/** How long any step may take: far more than it takes, for the machine may be slow. */
const PATIENCE_MS = 30_000;
/** Packets are given up when none arrives for so long. */
const STALL_MS = 5000;
const STEP_MS = 50;

const interrupted = new AbortController();

/** For Linux of this release: `6.18.5-amd64`. */
export function windowPackets(release: string): number {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const [sinceMajor, sinceMinor] = VETH_WAITS_SINCE;
  const waits = major > sinceMajor || (major === sinceMajor && minor >= sinceMinor);
  return waits ? WINDOW_PACKETS.afterVethWaits : WINDOW_PACKETS.beforeVethWaits;
}

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
  say("Two hosts, client and box, with a two-queue veth between them.\nOn the box: xdpsteer with two workers.");
  const directory = await Deno.makeTempDir({ prefix: "xdpsteer-demo-" });
  // Ctrl-C ends the demo like any failure does: everything it made is removed.
  const interrupt = (): void => interrupted.abort(new SteerError("Interrupted"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, interrupt);
  try {
    await using network = await VethNetwork.create({ queues: 2, chatty: true });
    const summary = await show(network, directory, entry, json, say);
    if (json) printJson(summary);
    else print(summaryText(summary));
    if (!isPerfect(summary)) {
      const { lost, misdirected, missing } = summary;
      const places = missing.map(({ where, packets }) => `\n  ${packets}: ${where}`).join("");
      throw new SteerError(`${plural(lost, "packet")} lost, ${misdirected} misdirected: expected none${places}`);
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
  await untilReady(socket).catch(async (error) => {
    kill(box);
    throw new SteerError(`${error.message}\n${await words}`);
  });
  const sender = new DemoSender(network, self, { address: IPV4.steer, ports: PORTS, flows: FLOWS, ratePps: RATE_PPS });
  const run = new DemoRun(socket, sender, new DemoScreen(json));

  await run.until("traffic to arrive", ({ totals }) => totals.received > 0);
  const { generation } = await run.during(HALF_MS);
  await replace(file, config(network.interfaces.steer, socket, [1, 0]));
  await run.until("the change to be in force", (now) => now.generation > generation);
  const atChange = await run.drained();
  run.screen.note("steering.yaml was saved: 8080 -> worker 1, 9090 -> worker 0. No restart.", atChange);
  await run.during(HALF_MS);
  const { sentPerPort } = await sender.end();
  const sent = PORTS.map((port) => [port, sentPerPort[port]!] as const);
  const last = await run.arrived(sent.reduce((sum, [, packets]) => sum + packets, 0));
  run.screen.end(last);

  box.kill("SIGTERM");
  const { code } = await box.status;
  if (code !== 0) throw new SteerError(`The appliance ended with ${code}\n${await words}`);
  await words;
  return summarize(sent, deliveries(atChange), last);
}

/** Keeps the traffic going while it looks at the appliance, and shows what it sees. */
class DemoRun {
  readonly #window = windowPackets(Deno.osRelease());
  #shownMs = -Infinity;

  constructor(
    private readonly socket: string,
    private readonly sender: DemoSender,
    readonly screen: DemoScreen,
  ) {}

  /** Goes on until a look satisfies the condition. @returns that look. @throws {SteerError} when it takes too long. */
  async until(what: string, condition: (now: Snapshot) => boolean): Promise<Snapshot> {
    const end = performance.now() + PATIENCE_MS;
    while (true) {
      const now = await this.#look();
      await this.sender.grant(taken(now) + this.#window);
      if (condition(now)) return now;
      if (performance.now() > end) throw new SteerError(`Waited ${PATIENCE_MS / 1000} s in vain for ${what}`);
    }
  }

  /** Goes on for so long. @returns the last look. */
  during(ms: number): Promise<Snapshot> {
    const end = performance.now() + ms;
    return this.until("time to pass", () => performance.now() >= end);
  }

  /** Holds the next packets back until each of those before has arrived: what arrives later was sent later. */
  drained(): Promise<Snapshot> {
    return this.arrived(this.sender.granted);
  }

  /** Grants nothing more, and waits until so many packets have arrived, or no more do. @returns the last look. */
  async arrived(packets: number): Promise<Snapshot> {
    let now = await this.#look();
    for (let grownMs = performance.now(); taken(now) < packets && performance.now() - grownMs < STALL_MS;) {
      const next = await this.#look();
      if (taken(next) > taken(now)) grownMs = performance.now();
      now = next;
    }
    return now;
  }

  async #look(): Promise<Snapshot> {
    await sleep(LOOK_MS);
    const now = await snapshot(this.socket);
    if (performance.now() - this.#shownMs >= REFRESH_MS) {
      this.screen.show(now);
      this.#shownMs = performance.now();
    }
    return now;
  }
}

async function snapshot(socket: string): Promise<Snapshot> {
  return JSON.parse(await get(socket, "/v1/status"));
}

/** Packets that are no longer under way. */
function taken({ totals: { received, socketDrops }, rules }: Snapshot): number {
  return rules.reduce((sum, { passed, dropped }) => sum + passed.packets + dropped.packets, received + socketDrops);
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
control:
  socket: ${socket}
  http: "off"
`;
}

/** As an editor saves: whole, by rename. */
async function replace(file: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${file}.new`, text);
  await Deno.rename(`${file}.new`, file);
}

async function untilReady(socket: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (await get(socket, "/readyz").catch(() => "") === "") {
    if (performance.now() > end) throw new SteerError(`The appliance did not start within ${PATIENCE_MS / 1000} s`);
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
