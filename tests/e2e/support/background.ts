/**
 * Traffic that goes on while a test does something else.
 *
 * @module
 */
import type { TestNetwork } from "../../support/netns.ts";
import { type LiveTraffic, runTraffic, type TrafficReport, type UdpTraffic } from "../../support/traffic_cli.ts";
import { FrameSource, type GrantedTraffic } from "../../support/granted_frames.ts";
import type { Appliance, Status } from "./appliance.ts";
import { sleep } from "./wait.ts";

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
  static live(network: TestNetwork, box: Appliance, traffic: LiveLoad): Promise<BackgroundTraffic> {
    return BackgroundTraffic.#start(
      box,
      (options) => runTraffic(network, "live", { ...traffic, count: ENDLESS }, options),
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

/**
 * Frames that may be on their way at once: room is left for other traffic in the rx rings of config.ts, of 32,768 each.
 */
const WINDOW_FRAMES = 24_576;
const LOOK_MS = 5;

/**
 * Live frames as fast as the appliance takes them: none is lost because a worker has to wait for a CPU, however long.
 * What is missing at the end was lost by the product.
 */
export class SteadyTraffic implements AsyncDisposable {
  readonly #sending: Promise<void>;
  #stopped = false;
  #report: TrafficReport | undefined;
  #drained: ((status: Status) => void) | undefined;

  private constructor(
    private readonly box: Appliance,
    private readonly source: FrameSource,
    private readonly windowFrames: number,
  ) {
    this.#sending = this.#send();
    this.#sending.catch(() => {}); // thrown by stop()
  }

  /**
   * Starts the traffic, and waits until the appliance has had some.
   *
   * @param windowFrames Frames on their way at once; fewer than an rx ring holds.
   */
  static async start(
    network: TestNetwork,
    box: Appliance,
    traffic: GrantedTraffic,
    { windowFrames = WINDOW_FRAMES } = {},
  ): Promise<SteadyTraffic> {
    const steady = new SteadyTraffic(box, await FrameSource.start(network, traffic), windowFrames);
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
    for (const goal = this.sent + frames; this.sent < goal;) await Promise.race([this.#sending, sleep(LOOK_MS)]);
  }

  /**
   * Holds the next frames back until a worker has taken each of those before, then goes on. @returns the status
   * between.
   */
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
    const grant = Math.ceil(this.windowFrames * 2 / 3);
    while (!this.#stopped) {
      const drained = this.#drained;
      this.#drained = undefined;
      this.#report = await this.source.send(grant);
      const most = drained === undefined ? this.windowFrames - grant : 0;
      const taken = (status: Status): boolean => waiting(status) <= most;
      drained?.(await this.box.untilStatus("packets to be taken from the rx rings", taken));
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
