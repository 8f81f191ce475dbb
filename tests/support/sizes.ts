/**
 * How much each large test does: by default, and with `scripts/dev test --full`, as before a release. A size is a number of
 * things, never a time or a rate; what a test asserts holds for either.
 *
 * @module
 */

/** By name: the default size and the full one. */
const SIZES = {
  /** hot_loop: packets that have the packet loop compiled before memory is looked at. */
  warmPackets: [1_000_000, 3_000_000],
  /** hot_loop: packets counted while the workers' heaps are watched. */
  countedPackets: [2_000_000, 10_000_000],
  /** hot_loop: the same, half of them echoed. */
  echoedPackets: [1_000_000, 4_000_000],
  /** forward: requests of each of a thousand clients. */
  requestsPerClient: [50, 1000],
  /** forward_flood: source ports that each send a packet to each of four ports. */
  floodFlows: [32_768, 262_144],
  /** remap: changes in a row under load. */
  swaps: [40, 100],
  /** capture: packets of a flood that is too much for a disk. */
  capturedPackets: [200_000, 500_000],
  /** http: malformed, huge and odd requests. */
  oddRequests: [2000, 10_000],
} as const;

const WORDS = ["default", "full"] as const;

/** The size of this run. @throws {Error} for a word in XDPSTEER_TEST_SIZES that is neither "default" nor "full". */
export function sizeOf(name: keyof typeof SIZES): number {
  const word = Deno.env.get("XDPSTEER_TEST_SIZES") ?? "default";
  const index = WORDS.findIndex((each) => each === word);
  if (index < 0) throw new Error(`XDPSTEER_TEST_SIZES is "${word}": expected ${WORDS.join(" or ")}`);
  return SIZES[name][index]!;
}
