/**
 * A helper process that prints "ready" and then a line for everything that it sees, until it is killed.
 *
 * @module
 */
import type { TestNetwork } from "../../support/netns.ts";
import { until } from "./wait.ts";

export class LinePrinter implements AsyncDisposable {
  #output = "";
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#reading = this.#read();
  }

  /** Starts it in the steer namespace, and waits until it is ready to be `what` it is. */
  static async start(network: TestNetwork, argv: readonly string[], what: string): Promise<LinePrinter> {
    const printer = new LinePrinter(network.spawn("steer", argv, { stderr: "inherit" }));
    try {
      await until(what, () => printer.#output.startsWith("ready\n"));
      return printer;
    } catch (error) {
      await printer[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Every whole line after the first, oldest first. */
  get lines(): string[] {
    return this.#output.split("\n").slice(1, -1);
  }

  async #read(): Promise<void> {
    for await (const part of this.#child.stdout.pipeThrough(new TextDecoderStream())) this.#output += part;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#reading;
  }
}
