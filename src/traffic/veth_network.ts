/**
 * Two hosts on one machine: a client and a steer network namespace with a veth pair between them, gone again at the
 * end. The demo, the tests and the benchmarks run on it. Needs root and iproute2; options may need more.
 *
 * @module
 */
import { messageOf, SteerError } from "../errors.ts";
import { sleep } from "./pacer.ts";

export type Side = "client" | "steer";

export interface VethNetworkOptions {
  /** rx and tx queues of both ends. Default 2. */
  readonly queues?: number;
  /** Default 1500. */
  readonly mtu?: number;
  /**
   * Packets the client's queueing discipline holds. A veth with one makes the sender wait when the receiver's ring is
   * full (kernel 6.16 and later), where a veth without drops: exact counts need it. Default 10,000.
   */
  readonly clientQueuePackets?: number;
  /**
   * False makes the senders compute checksums, which takes ethtool. True leaves the kernel's default: locally sent
   * packets cross a veth with the sum of the pseudo header only. Default true.
   */
  readonly checksumOffload?: boolean;
  /** True lets the namespaces send IPv6 packets of their own accord; keeping them quiet takes procps. Default false. */
  readonly chatty?: boolean;
}

export interface SpawnOptions {
  readonly stdin?: "piped" | "null";
  readonly stdout?: "piped" | "null" | "inherit";
  readonly stderr?: "piped" | "null" | "inherit";
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export const INTERFACES: Readonly<Record<Side, string>> = { client: "client0", steer: "steer0" };
export const MACS: Readonly<Record<Side, string>> = { client: "02:00:00:00:00:01", steer: "02:00:00:00:00:02" };
export const IPV4: Readonly<Record<Side, string>> = { client: "10.11.0.1", steer: "10.11.0.2" };
export const IPV6: Readonly<Record<Side, string>> = { client: "fd11::1", steer: "fd11::2" };

const SIDES: readonly Side[] = ["client", "steer"];
/** How long processes that were killed may take to be gone. */
const REAP_MS = 2000;
/** How long the kernel may take to notice that both ends of the veth are up. */
const UP_MS = 5000;

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).trimEnd();

/** Runs a command to its end and returns what it printed. */
async function run(argv: readonly string[]): Promise<string> {
  const [program, ...args] = argv;
  const child = new Deno.Command(program!, { args, stdin: "null" });
  const { success, code, stdout, stderr } = await child.output().catch((cause) => {
    throw new SteerError(`Cannot run "${argv.join(" ")}": ${messageOf(cause)}`, {
      cause,
      hint: "it comes with iproute2: apt install iproute2",
    });
  });
  if (!success) throw new SteerError(`"${argv.join(" ")}" ended with ${code}: ${text(stderr) || text(stdout)}`);
  return text(stdout);
}

export class VethNetwork implements AsyncDisposable {
  /** Names of the namespaces, unique to this run. */
  readonly names: Readonly<Record<Side, string>>;
  /** Names of the veth's ends, the same in every run. */
  readonly interfaces = INTERFACES;

  private constructor() {
    const id = `xdpsteer-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`;
    this.names = { client: `${id}-client`, steer: `${id}-steer` };
  }

  /** Makes both namespaces, usable at once. Leaves nothing behind when it fails. */
  static async create(options: VethNetworkOptions = {}): Promise<VethNetwork> {
    const network = new VethNetwork();
    try {
      await network.#setUp(options);
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
    return network;
  }

  async #setUp(options: VethNetworkOptions): Promise<void> {
    const { client, steer } = this.names;
    for (const name of [client, steer]) await run(["ip", "netns", "add", name]);
    if (!options.chatty) { for (const side of SIDES) await this.#quietIpv6(side); }
    for (const side of SIDES) await this.exec(side, ["ip", "link", "set", "lo", "up"]);
    await this.connect(options);
  }

  /** Makes the veth pair between the two, with its addresses; also after it was deleted. */
  async connect(options: VethNetworkOptions = {}): Promise<void> {
    const { queues = 2, mtu = 1500, clientQueuePackets = 10_000, checksumOffload = true } = options;
    const end = (side: Side): string[] => [
      ...[INTERFACES[side], "address", MACS[side], "mtu", `${mtu}`, "numtxqueues", `${queues}`],
      ...["numrxqueues", `${queues}`, "netns", this.names[side]],
    ];
    await run(["ip", "link", "add", ...end("client"), "type", "veth", "peer", "name", ...end("steer")]);
    for (const side of SIDES) {
      const device = INTERFACES[side];
      // No link-local address: nothing is multicast from one.
      await this.exec(side, ["ip", "link", "set", device, "addrgenmode", "none"]);
      if (!checksumOffload) await this.exec(side, ["ethtool", "-K", device, "tx", "off"]);
      await this.exec(side, ["ip", "link", "set", device, "up"]);
    }
    const queueing = ["root", "pfifo", "limit", `${clientQueuePackets}`];
    await this.exec("client", ["tc", "qdisc", "replace", "dev", INTERFACES.client, ...queueing]);
    for (const side of SIDES) {
      await this.#untilUp(side);
      await this.exec(side, ["ip", "address", "add", `${IPV4[side]}/24`, "dev", INTERFACES[side]]);
      await this.exec(side, ["ip", "address", "add", `${IPV6[side]}/64`, "dev", INTERFACES[side], "nodad"]);
    }
  }

  /**
   * An IPv6 address given to an interface before its carrier is noticed, up to a second late, answers nobody until
   * then.
   */
  async #untilUp(side: Side): Promise<void> {
    const deadline = performance.now() + UP_MS;
    while (!(await this.exec(side, ["ip", "link", "show", INTERFACES[side]])).includes("state UP")) {
      if (performance.now() > deadline) throw new SteerError(`Interface "${INTERFACES[side]}" does not come up`);
      await sleep(10);
    }
  }

  /** Packets that nobody asked for disturb exact counts. */
  async #quietIpv6(side: Side): Promise<void> {
    const settings = [
      "default.accept_ra=0",
      "default.router_solicitations=0",
      "default.mldv2_unsolicited_report_interval=0",
    ];
    await this.exec(side, ["sysctl", "-q", "-w", ...settings.map((setting) => `net.ipv6.conf.${setting}`)]);
  }

  /** Runs a command in a namespace to its end. @returns what it printed. @throws {Error} with what it complained of. */
  exec(side: Side, argv: readonly string[]): Promise<string> {
    return run(["ip", "netns", "exec", this.names[side], ...argv]);
  }

  /** Starts a command in a namespace. The child's pid is the command's own. */
  spawn(side: Side, argv: readonly string[], options: SpawnOptions = {}): Deno.ChildProcess {
    const { stdin = "null", stdout = "piped", stderr = "piped", env = {}, cwd } = options;
    return new Deno.Command("ip", {
      args: ["netns", "exec", this.names[side], ...argv],
      ...{ stdin, stdout, stderr, env },
      ...(cwd === undefined ? {} : { cwd }),
    }).spawn();
  }

  /** Kills what still runs inside and deletes both namespaces, the veth pair with them. Safe to call twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    const present = new Set((await run(["ip", "netns", "list"])).split("\n").map((line) => line.split(" ")[0]));
    const results = await Promise.allSettled(
      Object.values(this.names).filter((name) => present.has(name)).map((name) => remove(name)),
    );
    const failures = results.flatMap((result) => result.status === "rejected" ? [result.reason] : []);
    if (failures.length > 0) throw new AggregateError(failures, "Cannot remove the network namespaces");
  }
}

async function remove(name: string): Promise<void> {
  await killAll(name).finally(() => run(["ip", "netns", "delete", name]));
}

/** A namespace lives on, with its interfaces, for as long as a process is in it. */
async function killAll(name: string): Promise<void> {
  const deadline = performance.now() + REAP_MS;
  while (true) {
    const pids = (await run(["ip", "netns", "pids", name])).split("\n").filter((line) => line !== "").map(Number);
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It ended between the two calls.
      }
    }
    if (performance.now() > deadline) throw new SteerError(`Processes ${pids.join(", ")} in "${name}" do not end`);
    await sleep(20);
  }
}
