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
import type { Appliance } from "./appliance.ts";

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

export function ratePps({ sent, elapsedMs }: TrafficReport): number {
  return sent / elapsedMs * 1000;
}

/** The machine did not let the sender keep its rate: what was seen holds, but not at the rate the test is about. */
class TooSlow extends Error {}

/** What was sent was sent at this rate at least, over all of its time. Comes last: everything else holds at any rate. */
export function assertRate(report: TrafficReport, leastPps: number): void {
  const rate = Math.round(ratePps(report));
  if (rate < leastPps) {
    throw new TooSlow(`${rate} packets per second were sent: the test is about ${leastPps} and more`);
  }
}

const RATE_ATTEMPTS = 3;

/** Runs a test that is about a rate; again, from the start, when the machine was too busy to reach it. Any other failure is final. */
export async function atRate(test: () => Promise<void>): Promise<void> {
  for (let attempt = 1;; attempt++) {
    try {
      return await test();
    } catch (error) {
      if (!(error instanceof TooSlow) || attempt === RATE_ATTEMPTS) throw error;
    }
  }
}
