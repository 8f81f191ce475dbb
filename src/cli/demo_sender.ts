/**
 * The demo's sender, in the client's namespace: it sends what it is granted, and no more.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import type { VethNetwork } from "../traffic/veth_network.ts";
import type { TrafficOrder, TrafficReport } from "./traffic.ts";

export class DemoSender {
  readonly #child: Deno.ChildProcess;
  readonly #grants: WritableStreamDefaultWriter<Uint8Array>;
  readonly #report: Promise<string>;
  readonly #encoder = new TextEncoder();
  #granted = 0;

  /** @param command The words before the product's own arguments. */
  constructor(network: VethNetwork, command: readonly string[], order: TrafficOrder) {
    const argv = [...command, "traffic", "--json", JSON.stringify(order)];
    this.#child = network.spawn("client", argv, { stdin: "piped", stderr: "inherit" });
    this.#grants = this.#child.stdin.getWriter();
    this.#report = new Response(this.#child.stdout).text();
  }

  /** Packets it may have sent by now, counted from the start. */
  get granted(): number {
    return this.#granted;
  }

  /** Lets it send up to `packets`, counted from the start. @throws {SteerError} when it has ended. */
  async grant(packets: number): Promise<void> {
    if (packets <= this.#granted) return;
    this.#granted = packets;
    await this.#grants.write(this.#encoder.encode(`${packets}\n`)).catch(() => this.#fail());
  }

  /** Ends the sending. @returns what was sent. @throws {SteerError} when it failed. */
  async end(): Promise<TrafficReport> {
    await this.#grants.close().catch(() => this.#fail());
    if (!(await this.#child.status).success) this.#fail();
    return JSON.parse(await this.#report) as TrafficReport;
  }

  #fail(): never {
    throw new SteerError("The demo's sender failed");
  }
}
