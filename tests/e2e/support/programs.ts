/**
 * Programs that other people wrote, in the namespaces of a test: a DNS server and its load generator, iperf3.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { FAVOURED, niced } from "../../support/niceness.ts";
import { TempDir } from "./command.ts";
import { until } from "./wait.ts";

const LIMIT_MS = 120_000;

/** A program inside a namespace, ended with its scope. */
export class Program implements AsyncDisposable {
  /** Both streams so far. */
  output = "";
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;

  private constructor(namespace: string, argv: readonly string[]) {
    const args = ["netns", "exec", namespace, ...argv];
    this.#child = new Deno.Command("ip", { args, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
    this.#reading = Promise.all([this.#read(this.#child.stdout), this.#read(this.#child.stderr)]);
  }

  static run(namespace: string, argv: readonly string[]): Program {
    return new Program(namespace, argv);
  }

  /** Starts a program and waits until it has printed `ready`. */
  static async start(namespace: string, argv: readonly string[], ready: string): Promise<Program> {
    const program = new Program(namespace, argv);
    try {
      await until(argv[0]!, () => program.output.includes(ready), { describe: () => program.output });
      return program;
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Waits for the program's own end. @returns what it printed. @throws {Error} where it failed. */
  async result(): Promise<string> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), LIMIT_MS);
    const { success, code } = await this.#child.status;
    clearTimeout(timer);
    await this.#reading;
    assert.ok(success, `it ended with ${code}: ${this.output}`);
    return this.output;
  }

  /** Asks the program to end, and waits for that. */
  async interrupt(): Promise<string> {
    this.#child.kill("SIGINT");
    return await this.result();
  }

  /** Stops it where it is: it sends nothing more, and its sockets stay open. It can still be ended. */
  freeze(): void {
    this.signal("SIGSTOP");
  }

  /** Sends it any signal. */
  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async #read(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) this.output += part;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await this.#reading;
  }
}

export const DNS_PORT = 53;

/** dnsmasq on these addresses, with no file of the machine's. */
export function dnsmasq(namespace: string, addresses: readonly string[], more: readonly string[]): Promise<Program> {
  const argv = [
    ...["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--pid-file=", "--user=root"],
    ...["--no-resolv", "--no-hosts", "--bind-interfaces", ...addresses.map((address) => `--listen-address=${address}`)],
    ...more,
  ];
  return Program.start(namespace, argv, "started, version");
}

/** {@linkcode dnsmasq} that knows an address for every name below "test". */
export function dnsServer(namespace: string, addresses: readonly string[], port = DNS_PORT): Promise<Program> {
  const names = ["--address=/test/192.0.2.1", "--address=/test/2001:db8::1"];
  return dnsmasq(namespace, addresses, [`--port=${port}`, ...names]);
}

/** Queries in a round. */
export const NAMES = 1000;
/** Queries that a load has under way at once. */
export const UNDER_WAY = 20;

/** Queries a second of a load that goes on until it is stopped. */
const STEADY_RATE = 2000;
const FOR_LONG_S = 600;

export interface DnsReport {
  readonly sent: number;
  readonly completed: number;
  readonly lost: number;
  /** Answers by their response code. */
  readonly codes: Readonly<Record<string, number>>;
}

/** dnsperf: eight clients that ask for names below "test". */
export class DnsLoad implements AsyncDisposable {
  private constructor(private readonly program: Program, private readonly directory: TempDir) {}

  /** @param rounds Undefined: until it is stopped, at {@linkcode STEADY_RATE}. */
  static async start(namespace: string, address: string, rounds?: number): Promise<DnsLoad> {
    const directory = await TempDir.create();
    const queries = `${directory.path}/queries`;
    const lines = Array.from({ length: NAMES }, (_, index) => `host${index}.test ${index % 2 === 0 ? "A" : "AAAA"}\n`);
    await Deno.writeTextFile(queries, lines.join(""));
    const length = rounds === undefined ? ["-l", `${FOR_LONG_S}`, "-Q", `${STEADY_RATE}`] : ["-n", `${rounds}`];
    const shape = ["-t", "30", "-c", "8", "-T", "1", "-q", `${UNDER_WAY}`, ...length];
    const argv = ["dnsperf", "-s", address, "-p", `${DNS_PORT}`, "-d", queries, ...shape];
    return new DnsLoad(Program.run(namespace, argv), directory);
  }

  /** Waits for the end. */
  async report(): Promise<DnsReport> {
    return reportIn(await this.program.result());
  }

  /** Ends it, with what is under way at that moment taken for not sent. */
  async stop(): Promise<DnsReport> {
    return reportIn(await this.program.interrupt());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
  }
}

function reportIn(text: string): DnsReport {
  const count = (name: string): number => Number(new RegExp(`Queries ${name}: +(\\d+)`).exec(text)?.[1] ?? NaN);
  const [, list = ""] = /Response codes: +(.*)/.exec(text) ?? assert.fail(text);
  const codes = [...list.matchAll(/(\w+) (\d+) \(/g)].map(([, code, times]) => [code!, Number(times)]);
  const interrupted = count("interrupted");
  return {
    sent: count("sent") - (Number.isNaN(interrupted) ? 0 : interrupted),
    completed: count("completed"),
    lost: count("lost"),
    codes: Object.fromEntries(codes),
  };
}

export const IPERF_PORT = 5201;

/** Favoured, as its client is: its sockets hold some fifty datagrams, 30 ms at 20 Mbit/s. */
export function iperfServer(namespace: string, address: string): Promise<Program> {
  const argv = niced(FAVOURED, ["iperf3", "-s", "-B", address, "--forceflush"]);
  return Program.start(namespace, argv, "Server listening");
}

export interface IperfReport {
  /** Datagrams sent and lost. */
  readonly packets: number;
  readonly lost: number;
}

/** Sends UDP to a server, or with `--reverse` has it send. */
export async function iperf(namespace: string, address: string, options: readonly string[]): Promise<IperfReport> {
  const argv = niced(FAVOURED, ["iperf3", "-c", address, "-u", "--json", ...options]);
  await using program = Program.run(namespace, argv);
  const { end: { sum } } = JSON.parse(await program.result());
  return { packets: sum.packets, lost: sum.lost_packets };
}

/** Datagrams that found their socket's buffer full, in a namespace. */
export function overflows(namespace: string): Promise<number> {
  return counted(namespace, "RcvbufErrors");
}

/** Datagrams that came when their socket was closed, in a namespace. */
export function overtaken(namespace: string): Promise<number> {
  return counted(namespace, "NoPorts");
}

/** A counter of the kernel's UDP, of both families. */
async function counted(namespace: string, counter: string): Promise<number> {
  await using program = Program.run(namespace, ["nstat", "-asz", `Udp${counter}`, `Udp6${counter}`]);
  const counts = [...(await program.result()).matchAll(/^Udp6?\w+ +(\d+)/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

const DNSDIST = join(import.meta.dirname!, "../../../.tools/dnsdist");

/**
 * dnsdist, which reads PROXY protocol and answers every question for an address with that of the client, but one about
 * check.test.
 *
 * @param ends `10.0.0.1:5353` or `[fd00::1]:5353`.
 */
export async function startDnsdist(namespace: string, ends: readonly string[], directory: string): Promise<Program> {
  const path = `${directory}/dnsdist.conf`;
  const lines = [
    ...ends.map((end) => `addLocal("${end}")`),
    'setACL({"0.0.0.0/0", "::/0"})',
    'setProxyProtocolACL({"10.12.0.0/24", "fd12::/64"})',
    'addAction("check.test.", RCodeAction(DNSRCode.NOERROR))',
    "addAction(AllRule(), LuaAction(function(dq) return DNSAction.Spoof, dq.remoteaddr:toString() end))",
    'setSecurityPollSuffix("")',
  ];
  await Deno.writeTextFile(path, `${lines.join("\n")}\n`);
  const libraries = `LD_LIBRARY_PATH=${DNSDIST}/usr/lib/${Deno.build.arch}-linux-gnu`;
  const argv = ["env", libraries, `${DNSDIST}/usr/bin/dnsdist`, "--supervised", "--disable-syslog", "-C", path];
  const program = await Program.start(namespace, argv, "Listening on");
  await until("dnsdist's sockets", () => ends.every((end) => program.output.includes(`Listening on ${end}`)), {
    describe: () => program.output,
  });
  return program;
}
