/**
 * How much each large test does: by default, and with `scripts/dev test --full`, as before a release. A size is a
 * number of things, never a time or a rate; what a test asserts holds for either.
 *
 * @module
 */

const word = Deno.env.get("XDPSTEER_TEST_SIZES") ?? "default";
if (word !== "default" && word !== "full") {
  throw new Error(`XDPSTEER_TEST_SIZES is "${word}": expected default or full`);
}

const size = <T>(byDefault: T, full: T): T => word === "full" ? full : byDefault;

/** The sizes of this run. */
export const SIZE = {
  /** hot_loop: packets that have the packet loop compiled before memory is looked at. */
  warmPackets: size(1_000_000, 3_000_000),
  /** hot_loop: packets counted while the workers' heaps are watched. */
  countedPackets: size(2_000_000, 10_000_000),
  /** hot_loop: the same, half of them echoed. */
  echoedPackets: size(1_000_000, 4_000_000),
  /** steering: packets of each of 200 flows to each of six ports, in six settings. */
  steeredPackets: size(25, 100),
  /** forward: requests of each of a thousand clients, over IPv4 and again over IPv6. */
  requestsPerClient: size(50, 1000),
  /** forward_flood: source ports that each send a packet to each of four ports, three times. */
  floodFlows: size(4096, 262_144),
  /** mutated_frames: frames through a worker's loop, and the same through both parsers. */
  mutatedFrames: size(100_000, 10_000_000),
  /** rollback: each how manyth step of a handover at which a process hangs or fails; it is killed at twice as many. */
  failingSteps: size(4, 1),
  /**
   * upgrades: handovers in a row, frames a second of count and echo, requests a second that are forwarded, and
   * milliseconds between two. Paced: so few that no packet is lost, on whatever machine.
   */
  upgrades: size(
    { rounds: 4, ratePps: 3000, requestsPerSecond: 2000, settleMs: 0, isPaced: true },
    { rounds: 20, ratePps: 150_000, requestsPerSecond: 25_000, settleMs: 500, isPaced: false },
  ),
  /** crash: times that a process is killed in a row. */
  crashes: size(2, 10),
  /** remap: changes in a row under load. */
  swaps: size(40, 100),
  /** sessions_model: random operations on a session table and on a plain Map. */
  modelOperations: size(1_000_000, 10_000_000),
  /** flood: simulated seconds of 50,000 packets each. */
  floodSeconds: size(4, 40),
  /**
   * Requests a second, at most, of clients that talk while something else is tested, all of them together. 0: as fast
   * as answers come, which takes whole CPUs.
   */
  requestsPerSecond: size(4000, 0),
  /** forward_churn: reloads in a row that add, remove and rename backends and rules. */
  churnReloads: size(30, 1000),
  /** forward_choice: packets of one source port that are spread over backends. */
  spread: size(20_000, 100_000),
  /** forward_flood: packets a second from made-up sources, and for how many seconds they are sent. */
  floodRates: size<readonly number[]>([5000], [400, 5000, 50_000]),
  rateSeconds: size(4, 40),
  /** capture: packets of 1400 bytes at once, again until the disk was too slow for them once. */
  capturedPackets: size(200_000, 500_000),
  /** save_killed: moments of a save at which its process is killed. */
  savesKilled: size(8, 200),
  /** reconfigure: changes between a small configuration and one of 65,000 ports, after the first eight. */
  largeChanges: size(12, 120),
  /** http_flood: seconds of a client that pipelines and never reads. */
  floodedSeconds: size(4, 60),
  /** http: malformed, huge and odd requests. */
  oddRequests: size(2000, 10_000),
  /** service: answers of the README's DNS before a failure, in it, and after it: fifty a second, if the machine can. */
  serviceAnswers: size(100, 1000),
  /**
   * wireguard: seconds between two keepalives of a client, how many of them have to be longer than a session lasts, and
   * how long that is; null: the default of 60 s, beside keepalives every 25 s, as WireGuard's manual has it.
   */
  keepalive: size<{ readonly seconds: number; readonly times: number; readonly idleTimeout: number | null }>(
    { seconds: 1, times: 10, idleTimeout: 8 },
    { seconds: 25, times: 3, idleTimeout: null },
  ),
  /** interfaces: each IP version, mode and size of rings with each other; else the two that have nothing in common. */
  everyVariant: size(false, true),
  /**
   * storm: rounds, each with a worker that stands still once; how long each lasts at least, and packets a second
   * meanwhile. Links are detached in the first two.
   */
  storm: size({ rounds: 1, roundMs: 0, ratePps: 20_000 }, { rounds: 10, roundMs: 60_000, ratePps: 100_000 }),
  /** bench: workloads of the benchmark that are tried; none named means all. */
  benchWorkloads: size<readonly string[]>(["latency", "reload", "soak"], []),
} as const;
