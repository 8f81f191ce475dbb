/**
 * Asks all the time whether the steer namespace's kernel stack answers.
 *
 * @module
 */
import { IPV4, type TestNetwork } from "../../support/netns.ts";

const INTERVAL_MS = 20;

export class Pinger implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  #report: Promise<string> | undefined;

  constructor(network: TestNetwork) {
    const argv = ["ping", "-i", `${INTERVAL_MS / 1000}`, IPV4.steer];
    this.#child = network.spawn("client", argv, { stderr: "inherit" });
  }

  /** Stops asking. @returns the longest time without an answer, in milliseconds, and how many answers came. */
  async stop(): Promise<{ readonly longestGapMs: number; readonly answers: number }> {
    const report = await this.#end();
    const answered = [...report.matchAll(/icmp_seq=(\d+) ttl/g)].map(([, sequence]) => Number(sequence));
    const [, sent] = /^(\d+) packets transmitted/m.exec(report) ?? [];
    // The last one asked for may still be on its way.
    const marks = [0, ...answered, Number(sent)];
    const gaps = marks.slice(1).map((mark, index) => mark - marks[index]! - 1);
    return { longestGapMs: Math.max(...gaps) * INTERVAL_MS, answers: answered.length };
  }

  #end(): Promise<string> {
    if (this.#report === undefined) {
      this.#child.kill("SIGINT"); // ping then tells how many it has sent
      this.#report = this.#child.output().then(({ stdout }) => new TextDecoder().decode(stdout));
    }
    return this.#report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }
}
