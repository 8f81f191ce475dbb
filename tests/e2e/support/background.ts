/**
 * Traffic that goes on while a test does something else.
 *
 * @module
 */
import type { TestNetwork } from "../../support/netns.ts";
import {
  type LiveTraffic,
  runTraffic,
  type RunTrafficOptions,
  type TrafficReport,
  type UdpTraffic,
} from "../../support/traffic_cli.ts";
import { FrameSource, type GrantedTraffic } from "../../support/granted_frames.ts";
import type { Appliance, Status } from "./appliance.ts";
import { sleep, until } from "./wait.ts";

/** More than any test waits for. */
const ENDLESS = 1e9;

export type LiveLoad = Omit<LiveTraffic, "count">;
export type UdpLoad = Omit<UdpTraffic, "packetsPerFlow">;

export class BackgroundTraffic implements AsyncDisposable {
  readonly #stop: AbortController;
  readonly #report: Promise<TrafficReport>;

  private constructor(report: Promise<TrafficReport>, stop: AbortController) {
    this.#stop = stop;
    this.#report = report;
    this.#report.catch(() => {}); // told by stop()
  }

  /** Starts live frames towards the appliance, and waits until it has seen some. */
  static live(
    network: TestNetwork,
    box: Appliance,
    traffic: LiveLoad,
    options?: Pick<RunTrafficOptions, "niceness">,
  ): Promise<BackgroundTraffic> {
    return BackgroundTraffic.#start(
      box,
      ({ signal }) => runTraffic(network, "live", { ...traffic, count: ENDLESS }, { ...options, signal }),
    );
  }

  /** The same with UDP sockets: slower, and whoever is there receives it. */
  static udp(network: TestNetwork, box: Appliance, traffic: UdpLoad): Promise<BackgroundTraffic> {
    return BackgroundTraffic.#start(
      box,
      (options) => runTraffic(network, "udp", { ...traffic, packetsPerFlow: ENDLESS }, options),
    );
  }

  static async #start(
    box: Appliance,
    run: (options: { signal: AbortSignal }) => Promise<TrafficReport>,
  ): Promise<BackgroundTraffic> {
    const { totals: { seen } } = await box.status();
    const stop = new AbortController();
    const background = new BackgroundTraffic(run({ signal: stop.signal }), stop);
    try {
      await box.untilStatus("traffic", ({ totals }) => totals.seen > seen + 1000);
      return background;
    } catch (error) {
      await background[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Ends the traffic. @returns what was sent. */
  stop(): Promise<TrafficReport> {
    this.#stop.abort();
    return this.#report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
  }
}

/** Frames that are sent at once. */
const GRANT_FRAMES = 16_384;
/** The next are sent when no more than so many still wait for their worker: with those, no rx ring of config.ts is full. */
const WAITING_FRAMES = 8192;
const LOOK_MS = 5;

/**
 * Live frames as fast as the appliance takes them: none is lost because a worker has to wait for a CPU, however long. What
 * is missing at the end was lost by the product.
 */
export class SteadyTraffic implements AsyncDisposable {
  readonly #sending: Promise<void>;
  #stopped = false;
  #report: TrafficReport | undefined;
  #drained: ((status: Status) => void) | undefined;

  private constructor(private readonly box: Appliance, private readonly source: FrameSource) {
    this.#sending = this.#send();
    this.#sending.catch(() => {}); // thrown by stop()
  }

  /** Starts the traffic, and waits until the appliance has had some. */
  static async start(
    network: TestNetwork,
    box: Appliance,
    traffic: GrantedTraffic,
    { niceness = 0 } = {},
  ): Promise<SteadyTraffic> {
    const steady = new SteadyTraffic(box, await FrameSource.start(network, traffic, niceness));
    try {
      await steady.more(1);
      return steady;
    } catch (error) {
      await steady[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Frames that were sent so far. */
  get sent(): number {
    return this.#report?.sent ?? 0;
  }

  /** Waits until so many more were sent. */
  async more(frames: number): Promise<void> {
    const goal = this.sent + frames;
    await Promise.race([this.#sending, until(`${frames} more frames`, () => this.sent >= goal)]);
  }

  /** Holds the next frames back until a worker has taken each of those before, then goes on. @returns the status between. */
  async drained(): Promise<Status> {
    const status = new Promise<Status>((resolve) => this.#drained = resolve);
    await Promise.race([this.#sending, status]);
    return await status;
  }

  /** Ends the traffic. @returns what was sent. */
  async stop(): Promise<TrafficReport> {
    this.#stopped = true;
    await this.#sending;
    return this.#report!;
  }

  async #send(): Promise<void> {
    while (!this.#stopped) {
      const drained = this.#drained;
      this.#drained = undefined;
      this.#report = await this.source.send(GRANT_FRAMES);
      const most = drained === undefined ? WAITING_FRAMES : 0;
      let status: Status;
      while (waiting(status = await this.box.status()) > most) await sleep(LOOK_MS);
      drained?.(status);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
    await this.source[Symbol.asyncDispose]();
  }
}

/** Packets that were redirected and that no worker has taken yet. */
function waiting({ totals: { verdicts, received, socketDrops } }: Status): number {
  return verdicts.redirect - received - socketDrops;
}
