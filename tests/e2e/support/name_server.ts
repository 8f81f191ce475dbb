/**
 * A real DNS server that knows what a test tells it: dnsmasq, in the backends' namespace.
 *
 * @module
 */
import type { BackendHost } from "./backends.ts";
import { FAR } from "./backends.ts";
import { dnsmasq, Program } from "./programs.ts";

export const NAME_SERVER = "10.12.0.53";
/** Names below it are asked of {@linkcode UPSTREAM}, which says SERVFAIL to everything. */
export const FAILING = "failing.test";
const UPSTREAM = "10.12.0.54";
/** Names below it are known, or do not exist. */
export const ZONE = "example.test";

const SERVFAIL = `
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("${UPSTREAM}", 53))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(4096)
    server.sendto(data[:2] + bytes([0x81, 0x82]) + data[4:], peer)
`;

export interface Service {
  readonly name: string;
  readonly target: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

export class NameServer implements AsyncDisposable {
  #program: Program | undefined;
  #services: readonly Service[] = [];
  readonly #upstream: Program;

  private constructor(private readonly host: BackendHost, private readonly hosts: string, upstream: Program) {
    this.#upstream = upstream;
  }

  /** Starts it without a name. TTLs are 1 s. */
  static async start(host: BackendHost): Promise<NameServer> {
    for (const address of [NAME_SERVER, UPSTREAM]) {
      await host.exec(["ip", "address", "add", `${address}/24`, "dev", FAR]);
    }
    const upstream = await Program.start(host.name, ["/usr/bin/python3", "-c", SERVFAIL], "ready");
    const hosts = await Deno.makeTempFile({ prefix: "xdpsteer-e2e-hosts-" });
    await Deno.chmod(hosts, 0o644);
    const server = new NameServer(host, hosts, upstream);
    await server.#run();
    return server;
  }

  /** Names, each with its addresses: all others do not exist from now on. */
  async set(names: Readonly<Record<string, readonly string[]>>): Promise<void> {
    const lines = Object.entries(names).flatMap(([name, addresses]) => addresses.map((each) => `${each} ${name}`));
    await Deno.writeTextFile(this.hosts, `${lines.join("\n")}\n`);
    this.#program!.signal("SIGHUP");
  }

  /** SRV records; a server with others is started in its place. */
  async serve(...services: readonly Service[]): Promise<void> {
    this.#services = services;
    await this.#program![Symbol.asyncDispose]();
    await this.#run();
  }

  /** Questions get no answer, until it {@linkcode speak}s again. */
  hush(): void {
    this.#program!.freeze();
  }

  speak(): void {
    this.#program!.signal("SIGCONT");
  }

  async #run(): Promise<void> {
    const options = [
      ...["--no-negcache", `--local=/${ZONE}/`, `--server=/${FAILING}/${UPSTREAM}`],
      ...["--local-ttl=1", `--addn-hosts=${this.hosts}`],
      ...this.#services.map(({ name, target, port, priority, weight }) =>
        `--srv-host=${name},${target},${port},${priority},${weight}`
      ),
    ];
    this.#program = await dnsmasq(this.host.name, [NAME_SERVER], options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program?.[Symbol.asyncDispose]();
    await this.#upstream[Symbol.asyncDispose]();
    await Deno.remove(this.hosts).catch(() => {});
  }
}
