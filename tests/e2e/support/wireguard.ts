/**
 * A WireGuard tunnel between two namespaces, by wireguard-go.
 *
 * @module
 */
import { TempDir } from "./command.ts";
import { Program } from "./programs.ts";
import { until } from "./wait.ts";

export const WIREGUARD_PORT = 51_820;
/** Inside the tunnel. */
export const INNER = { client: "10.77.0.2", server: "10.77.0.1" } as const;

export interface TunnelOptions {
  /** Namespaces of the two ends. */
  readonly client: string;
  readonly server: string;
  /** Where the client finds the server. */
  readonly service: string;
  /** Between two packets of a client that has nothing to say. */
  readonly keepaliveSeconds: number;
}

export class Tunnel implements AsyncDisposable {
  private constructor(
    private readonly server: string,
    private readonly device: string,
    private readonly programs: readonly Program[],
    private readonly parts: AsyncDisposableStack,
  ) {}

  static async create({ client, server, service, keepaliveSeconds }: TunnelOptions): Promise<Tunnel> {
    await using parts = new AsyncDisposableStack();
    const { path } = parts.use(await TempDir.create());
    // Devices are reached by their name, in one folder for all namespaces.
    const unique = crypto.randomUUID().slice(0, 8);
    const ends = { client: `wgc${unique}`, server: `wgs${unique}` };
    const keys: Record<string, string> = {};
    const programs: Program[] = [];
    for (const [end, namespace] of [["client", client], ["server", server]] as const) {
      const device = ends[end];
      const argv = ["env", "LOG_LEVEL=verbose", "wireguard-go", "-f", device];
      programs.push(parts.use(await Program.start(namespace, argv, "UAPI listener started")));
      const key = await run(namespace, "wg", "genkey");
      await Deno.writeTextFile(`${path}/${end}`, key, { mode: 0o600 });
      await run(namespace, "wg", "set", device, "private-key", `${path}/${end}`);
      keys[end] = (await run(namespace, "wg", "show", device, "public-key")).trim();
      await run(namespace, "ip", "address", "add", `${INNER[end]}/24`, "dev", device);
      await run(namespace, "ip", "link", "set", device, "up");
    }
    const peer = (end: "client" | "server"): string[] => ["peer", keys[end]!, "allowed-ips", `${INNER[end]}/32`];
    await run(server, "wg", "set", ends.server, "listen-port", `${WIREGUARD_PORT}`, ...peer("client"));
    const endpoint = `${service.includes(":") ? `[${service}]` : service}:${WIREGUARD_PORT}`;
    const more = ["endpoint", endpoint, "persistent-keepalive", `${keepaliveSeconds}`];
    await run(client, "wg", "set", ends.client, ...peer("server"), ...more);
    const tunnel = new Tunnel(server, ends.server, programs, parts.move());
    await until("the handshake", async () => await tunnel.endpoint() !== undefined);
    return tunnel;
  }

  /** Where the server finds the client, once they have talked. */
  async endpoint(): Promise<string | undefined> {
    const [, endpoint] = (await run(this.server, "wg", "show", this.device, "endpoints")).trim().split("\t");
    return endpoint === "(none)" ? undefined : endpoint;
  }

  /** Ends the traffic: neither end sends or refuses anything from now on. */
  freeze(): void {
    for (const program of this.programs) program.freeze();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.parts.disposeAsync();
  }
}

async function run(namespace: string, ...argv: string[]): Promise<string> {
  await using program = Program.run(namespace, argv);
  return await program.result();
}
