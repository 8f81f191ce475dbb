/**
 * Live frames that are sent as they are asked for: `deno run -A tests/support/granted_frames.ts JSON`, in the client's
 * namespace. Tests use {@linkcode FrameSource}.
 *
 * @module
 */
import { AnsweringProcess, answerRequests } from "./answering_process.ts";
import type { TestNetwork } from "./netns.ts";
import { type LiveTraffic, loadLive, type TrafficReport } from "./traffic_cli.ts";

export type GrantedTraffic = Omit<LiveTraffic, "count">;

interface Request {
  readonly frames: number;
}

/** A source that sends nothing of its own accord. */
export class FrameSource extends AnsweringProcess<Request, never> {
  readonly #complaints: Promise<string>;

  private constructor(child: Deno.ChildProcess) {
    super(child);
    this.#complaints = new Response(child.stderr).text();
  }

  /** Starts it in the client's namespace, ready to send. */
  static async start(network: TestNetwork, traffic: GrantedTraffic): Promise<FrameSource> {
    const argv = [
      Deno.execPath(),
      "run",
      "--quiet",
      "--no-check",
      "-A",
      import.meta.filename!,
      JSON.stringify(traffic),
    ];
    const source = new FrameSource(network.spawn("client", argv, { stdin: "piped" }));
    try {
      await source.send(0);
      return source;
    } catch (error) {
      await source[Symbol.asyncDispose]();
      throw new Error(`The source of frames does not start: ${await source.#complaints}`, { cause: error });
    }
  }

  /** Sends so many frames more. @returns all that were sent since the start. */
  send(frames: number): Promise<TrafficReport> {
    return this.ask({ frames }) as Promise<TrafficReport>;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#complaints;
  }
}

async function main(traffic: GrantedTraffic): Promise<void> {
  const { cpus = [] } = traffic;
  using frames = await loadLive(traffic);
  let sent = 0;
  let elapsedMs = 0;
  let turn = 0;
  await answerRequests(() => ({ frames: count }: Request): TrafficReport => {
    const start = performance.now();
    for (const goal = sent + count; sent < goal;) sent += frames.send(goal - sent, cpus[turn % cpus.length]);
    if (count > 0) turn++;
    elapsedMs += performance.now() - start;
    return { sent, sentPerPort: Object.fromEntries(frames.sentPerPort()), replies: 0, repliesPerPort: {}, elapsedMs };
  });
}

if (import.meta.main) await main(JSON.parse(Deno.args[0]!));
