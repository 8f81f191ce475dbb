/** The sender of a benchmark: one process in the client's namespace that takes one order after the other. */
import { fileURLToPath } from "node:url";
import type { VethNetwork } from "../../src/traffic/veth_network.ts";
import type { GeneratorOrder, GeneratorReport } from "./generator.ts";
import { PORT, SENDER_CPU } from "./rig.ts";
import { readLines } from "./subjects.ts";

const GENERATOR = fileURLToPath(new URL("./generator.ts", import.meta.url));

export class Sender implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reports: ReturnType<typeof readLines>;

  constructor(network: VethNetwork) {
    const argv = [Deno.execPath(), "run", "--quiet", "-A", "--no-check", GENERATOR];
    this.#child = network.spawn("client", argv, { stdin: "piped", stderr: "inherit" });
    this.#orders = this.#child.stdin.getWriter();
    this.#reports = readLines(this.#child.stdout);
  }

  /** Sends, and returns when all is out. */
  async send(order: Partial<GeneratorOrder> & { durationMs: number }): Promise<GeneratorReport> {
    const full: GeneratorOrder = { ports: [PORT], payloadBytes: 22, flows: 64, cpus: [SENDER_CPU], ...order };
    await this.#orders.write(new TextEncoder().encode(`${JSON.stringify(full)}\n`));
    return JSON.parse(await this.#reports.next());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#orders.close();
    await this.#child.status;
    this.#reports.close();
  }
}
