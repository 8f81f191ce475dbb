/**
 * Hosts behind the box, and many clients in front of it.
 *
 * @module
 */
import { cProgram } from "../../support/c_programs.ts";
import { INTERFACES, type TestNetwork } from "../../support/netns.ts";
import { FAVOURED, niced } from "../../support/niceness.ts";
import { SIZE } from "../../support/sizes.ts";
import { runHere } from "./command.ts";
import { until } from "./wait.ts";

export const BACKEND_PORT = 9000;
export const FAMILIES = {
  IPv4: { service: "10.11.0.2", net: (host: number) => `10.12.0.${host}`, prefix: 24 },
  IPv6: { service: "fd11::2", net: (host: number) => `fd12::${host}`, prefix: 64 },
} as const;
export type Family = keyof typeof FAMILIES;
export const BOTH = ["IPv4", "IPv6"] as const;

/** The box's interface to the backends. */
export const BACK = "steer1";
/** The backends' interface. */
export const FAR = "back0";
/** The two ends of the second way to the backends. */
export const BACK_2 = "steer2";
const FAR_2 = "back1";
const BOX_HOST = 2;
/** Later than this no answer comes, also where the machine is slow. */
const LOST_MS = 20_000;
/** Host numbers of backends start behind this. */
const FIRST_HOST = 10;

/** `10.12.0.11:9000` for backend 1. */
export function backendName(family: Family, number: number): string {
  const address = backendAddress(family, number);
  return family === "IPv6" ? `[${address}]:${BACKEND_PORT}` : `${address}:${BACKEND_PORT}`;
}

export function backendAddress(family: Family, number: number): string {
  return FAMILIES[family].net(FIRST_HOST + number);
}

/** A rule, named web, that forwards a port to backends by their numbers. */
export function forwardTo(
  port: number | string,
  numbers: readonly number[],
  { families = BOTH as readonly Family[], more = "" } = {},
): string {
  const names = families.flatMap((family) => numbers.map((number) => `"${backendName(family, number)}"`));
  return `{ name: web, ports: ${port}, action: { forward: { to: [${names.join(", ")}]${more} } } }`;
}

interface Running {
  readonly child: Deno.ChildProcess;
  readonly reading: Promise<void>;
  output: string;
}

async function start(argv: readonly string[], spawn: (argv: readonly string[]) => Deno.ChildProcess): Promise<Running> {
  const child = spawn(argv);
  const running: Running = { child, output: "", reading: Promise.resolve() };
  const reading = (async () => {
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) running.output += part;
  })();
  Object.assign(running, { reading });
  return await Promise.resolve(running);
}

async function kill({ child, reading }: Running): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
  await child.status;
  await reading;
}

export interface BackendOptions {
  /** rx and tx queues of the link. Default 2. */
  readonly queues?: number;
  /** Addresses for backends, from number 1. Default 3. */
  readonly backends?: number;
  /** With a second way, by a gateway. Default false. */
  readonly gateway?: boolean;
}

/** A namespace with backends, linked to the steer namespace by a veth of its own: the box's second interface. */
export class BackendHost implements AsyncDisposable {
  readonly name: string;
  readonly #backends = new Map<string, Running>();

  private constructor(private readonly network: TestNetwork) {
    this.name = `xdpsteer-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}-back`;
  }

  static async create(network: TestNetwork, options: BackendOptions = {}): Promise<BackendHost> {
    const { queues = 2, backends = 3, gateway = false } = options;
    const host = new BackendHost(network);
    try {
      await host.#setUp(queues, backends);
      if (gateway) await host.#addGateway();
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
    return host;
  }

  async #setUp(queues: number, backends: number): Promise<void> {
    const { name } = this;
    await ip("netns", "add", name);
    await this.exec(["sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.accept_ra=0"]);
    await this.exec(["ip", "link", "set", "lo", "up"]);
    await this.connect(queues, backends);
  }

  /** Makes the link between the two, with its addresses; also after it was deleted. */
  async connect(queues = 2, backends = 3): Promise<void> {
    const { network, name } = this;
    const many = ["numtxqueues", `${queues}`, "numrxqueues", `${queues}`];
    const far = ["peer", "name", FAR, ...many, "netns", name];
    await ip("link", "add", BACK, ...many, "netns", network.names.steer, "type", "veth", ...far);
    // A lost ARP request of theirs is repeated after a second, by default: that would be measured, and not the box.
    await this.exec(["sysctl", "-q", "-w", `net.ipv4.neigh.${FAR}.retrans_time_ms=250`]);
    await this.exec(["ip", "link", "set", FAR, "up"]);
    await this.configureBox();
    for (const family of ["IPv4", "IPv6"] as const) {
      const { prefix } = FAMILIES[family];
      const nodad = family === "IPv6" ? ["nodad"] : [];
      for (let number = 1; number <= backends; number++) {
        await this.exec(["ip", "address", "add", `${backendAddress(family, number)}/${prefix}`, "dev", FAR, ...nodad]);
      }
    }
    const isUp = async (): Promise<boolean> => (await this.exec(["ip", "link", "show", FAR])).includes("state UP");
    await until("the backends' link", isUp);
  }

  /** Sets the box's end of the link up, with its addresses. */
  async configureBox(): Promise<void> {
    const { network } = this;
    await network.exec("steer", ["ip", "link", "set", BACK, "up"]);
    for (const family of BOTH) {
      const { net, prefix } = FAMILIES[family];
      const nodad = family === "IPv6" ? ["nodad"] : [];
      await network.exec("steer", ["ip", "address", "add", `${net(BOX_HOST)}/${prefix}`, "dev", BACK, ...nodad]);
    }
  }

  /** A second way to the backends: by gateway 10.14.0.1 behind {@linkcode BACK_2}. */
  async #addGateway(): Promise<void> {
    const { network, name } = this;
    const far = ["peer", "name", FAR_2, "netns", name];
    await ip("link", "add", BACK_2, "netns", network.names.steer, "type", "veth", ...far);
    await this.exec(["ip", "address", "add", "10.14.0.1/24", "dev", FAR_2]);
    await this.exec(["ip", "link", "set", FAR_2, "up"]);
    await network.exec("steer", ["ip", "address", "add", "10.14.0.2/24", "dev", BACK_2]);
    await network.exec("steer", ["ip", "link", "set", BACK_2, "up"]);
  }

  exec(argv: readonly string[]): Promise<string> {
    return ip("netns", "exec", this.name, ...argv);
  }

  /**
   * Starts backend `number`; its answers begin with that number. It goes before other programs: one that lags behind
   * answers sessions that are over.
   */
  async serve(family: Family, number: number): Promise<void> {
    const program = [await cProgram("udp_backend"), backendAddress(family, number), `${BACKEND_PORT}`, `${number}`];
    const argv = niced(FAVOURED, program);
    const running = await start(
      argv,
      (words) =>
        new Deno.Command("ip", { args: ["netns", "exec", this.name, ...words], stdin: "null", stdout: "piped" })
          .spawn(),
    );
    this.#backends.set(`${family} ${number}`, running);
    await until(`backend ${number}`, () => running.output === "ready\n");
  }

  /** From how many ports backends that are asked all the time were asked so far, all together. */
  async portsSeen(family: Family, numbers: readonly number[]): Promise<number> {
    const counts = await Promise.all(numbers.map((number) => this.#portsOf(family, number)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async #portsOf(family: Family, number: number): Promise<number> {
    const running = this.#backends.get(`${family} ${number}`)!;
    const before = running.output.length;
    running.child.kill("SIGUSR1");
    const answer = (): string | undefined => /^ports (\d+)\n/.exec(running.output.slice(before))?.[1];
    return Number(await until(`what backend ${number} has seen`, answer));
  }

  /** Ends a backend: its port answers with ICMP from then on. */
  async stop(family: Family, number: number): Promise<void> {
    const key = `${family} ${number}`;
    await kill(this.#backends.get(key)!);
    this.#backends.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#backends.values()].map(kill));
    await ip("netns", "delete", this.name).catch(() => {});
  }
}

function ip(...args: string[]): Promise<string> {
  return runHere("ip", ...args);
}

/** What many clients saw. */
export interface ClientsReport {
  readonly sent: number;
  readonly answered: number;
  readonly lost: number;
  /** Answers with another payload than the request's. */
  readonly wrong: number;
  /** Answers that came after their timeout, or twice. */
  readonly late: number;
  /** How often a client was answered by another backend than before. */
  readonly moved: number;
  readonly elapsedMs: number;
  /** Answers by the backend that gave them. */
  readonly answersOf: Readonly<Record<string, number>>;
  /** Clients by the backend that answered them last. */
  readonly byBackend: Readonly<Record<string, number>>;
}

export interface ClientsOptions {
  readonly address: string;
  readonly port: number;
  readonly clients: number;
  /** Of each client. Default: until stopped, so many a second as the sizes say. */
  readonly requests?: number;
  /** Payload of each request. Default 64. */
  readonly bytes?: number;
  /** Requests under way at once. Default 32. */
  readonly window?: number;
  /** When a request counts as lost. Default: after more than a slow machine takes. */
  readonly timeoutMs?: number;
  /** Requests a second, at most, of all together. Default: as the sizes say, where their number is not said. */
  readonly perSecond?: number;
}

/** Clients in the client namespace. */
export class Clients implements AsyncDisposable {
  private constructor(private readonly running: Running) {}

  static async start(network: TestNetwork, options: ClientsOptions): Promise<Clients> {
    const { address, port, clients, requests = 0, bytes = 64, window = 32, timeoutMs = LOST_MS } = options;
    const { perSecond = requests === 0 ? SIZE.requestsPerSecond : 0 } = options;
    const numbers = [port, clients, requests, bytes, window, timeoutMs, perSecond].map(String);
    const argv = [await cProgram("udp_clients"), address, ...numbers];
    return new Clients(await start(argv, (words) => network.spawn("client", words, { stderr: "inherit" })));
  }

  /** Waits until every client has had its first answer. */
  ready(): Promise<unknown> {
    return until("every client's first answer", () => this.running.output.startsWith("ready\n"));
  }

  /** Lets the requests under way be answered, and ends. */
  async stop(): Promise<ClientsReport> {
    this.running.child.kill("SIGTERM");
    return await this.report();
  }

  /** Waits for the end. */
  async report(): Promise<ClientsReport> {
    await this.running.child.status;
    await this.running.reading;
    return JSON.parse(this.running.output.split("\n").at(-2)!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await kill(this.running);
  }
}

const LONG_RINGS = ", umem: { chunks: 16384 }, rings: { rx: 8192, tx: 8192, fill: 8192, completion: 8192 }";
/** As an interface is where nothing is said about its memory. */
export const DEFAULT_RINGS = "";

/** A configuration that steers on the interface to the clients and the one to the backends. */
export function forwardConfig(
  socket: string,
  rules: readonly string[],
  {
    interfaces = [INTERFACES.steer, BACK] as readonly string[],
    workers = 2,
    more = [] as readonly string[],
    memory = LONG_RINGS,
  } = {},
): string {
  return [
    "version: 1",
    "interfaces:",
    ...interfaces.map((name) => `  - { name: ${name}, attach: native${memory} }`),
    `workers: { count: ${workers} }`,
    "steering:",
    ...rules.map((rule) => `  - ${rule}`),
    ...more,
    `control: { socket: ${socket}, http: off }`,
    "log: { level: info, format: json }",
    "",
  ].join("\n");
}
