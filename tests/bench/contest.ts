/**
 * Subjects against each other, in short slices that alternate: a slow moment of the machine meets all of them.
 *
 * Each has a network and a sender of its own, and all are started before the first slice. The next round starts them
 * anew and on another network, for memory may lie better or worse.
 */
import { createNetwork } from "./rig.ts";
import type { Effort, Report } from "./results.ts";
import { Sender } from "./sender.ts";
import type { Subject } from "./subjects.ts";
import type { VethNetwork } from "../../src/traffic/veth_network.ts";

/**
 * How long a program that was stopped has until it is measured. It makes up for timers that it missed, which takes
 * milliseconds while it runs; and xdpsteer's deadman, which lets everything pass meanwhile, looks every 100 ms.
 */
const RESUME_MS = 400;

/** What takes part. */
export interface Stoppable extends AsyncDisposable {
  /** Undefined for what is no process and does nothing while it is sent nothing. */
  readonly pid?: number;
}

export type Start<S extends Stoppable = Subject> = (network: VethNetwork) => Promise<S>;

/** What a measurement has to do with. */
export interface Lane<S extends Stoppable = Subject> {
  readonly network: VethNetwork;
  readonly sender: Sender;
  readonly subject: S;
}

/** Networks and senders for a number of subjects, for any number of contests. */
export class Arena implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #places: { readonly network: VethNetwork; readonly sender: Sender }[] = [];

  /**
   * @param swallow The client side drops what comes back before its stack sees it.
   * @param extend Adds to each network; what it puts on the stack is gone before the network is.
   */
  static async open(
    size: number,
    swallow: boolean,
    extend?: (network: VethNetwork, stack: AsyncDisposableStack) => Promise<void>,
  ): Promise<Arena> {
    const arena = new Arena();
    try {
      for (let place = 0; place < size; place++) {
        const network = arena.#stack.use(await createNetwork(1, swallow));
        await extend?.(network, arena.#stack);
        arena.#places.push({ network, sender: arena.#stack.use(new Sender(network)) });
      }
    } catch (error) {
      await arena[Symbol.asyncDispose]();
      throw error;
    }
    return arena;
  }

  /**
   * Measures every subject once per slice, after a slice that does not count, which is number 0.
   *
   * @param stopping Subjects whose turn it is not are stopped with SIGSTOP: needed where they would spin.
   * @returns What was measured, by subject, in the order of time: the same index is the same moment.
   */
  async contest<T, S extends Stoppable = Subject>(
    starts: Readonly<Record<string, Start<S>>>,
    { rounds, slices, interrupted }: Effort,
    measure: (lane: Lane<S>, slice: number) => Promise<T>,
    report: Report,
    stopping = true,
  ): Promise<Readonly<Record<string, T[]>>> {
    const names = Object.keys(starts);
    const signal = ({ subject: { pid } }: Lane<S>, name: "SIGSTOP" | "SIGCONT"): void => {
      if (stopping && pid !== undefined) Deno.kill(pid, name);
    };
    const values = Object.fromEntries(names.map((name): [string, T[]] => [name, []]));
    for (let round = 0; round < rounds; round++) {
      report(`round ${round + 1} of ${rounds}`);
      await using stack = new AsyncDisposableStack();
      const lanes: Lane<S>[] = [];
      for (const [index, name] of names.entries()) {
        const place = this.#places[(index + round) % names.length]!;
        const lane = { ...place, subject: await starts[name]!(place.network) };
        stack.defer(async () => {
          signal(lane, "SIGCONT");
          await lane.subject[Symbol.asyncDispose]();
        });
        lanes.push(lane);
        signal(lane, "SIGSTOP");
      }
      for (let slice = 0; slice <= slices; slice++) {
        // There and back again: none is always the first.
        const order = slice % 2 === 0 ? [...names.keys()] : [...names.keys()].reverse();
        for (const index of order) {
          interrupted.throwIfAborted();
          const lane = lanes[index]!;
          signal(lane, "SIGCONT");
          if (stopping) await new Promise((resolve) => setTimeout(resolve, RESUME_MS));
          const value = await measure(lane, slice);
          signal(lane, "SIGSTOP");
          if (slice > 0) values[names[index]!]!.push(value);
        }
      }
    }
    return values;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
