/**
 * Compares what is in force in the kernel with what was put there, once a second and whenever somebody asks: others may
 * change it, by bpftool or ethtool, and no message tells of that. What can be put right is, and is counted; what cannot
 * is a problem for whoever looks. Links and sockets are the matter of keeper.ts.
 *
 * @module
 */
import type { PortTable } from "../bpf/port_table.ts";
import { SteerError } from "../errors.ts";
import { surviving, SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import { nounFor, secondsText } from "../text.ts";
import type { SteeredInterface } from "./interface.ts";

/** What is put right, as the metric calls it. */
export const REPAIRED = ["control_word", "port_table", "xsk_map", "tc"] as const;
export type Repaired = typeof REPAIRED[number];

export interface Repair {
  readonly what: Repaired;
  /** Times so far. */
  readonly count: number;
  /** Since the last time; Infinity where there was none. */
  readonly agoMs: number;
  /** How long it had been so then, at most: since the look before. */
  readonly wrongMs: number;
  /** What was found then. */
  readonly words: string;
}

/** What is done to an interface. */
export type ComparedInterface = Pick<
  SteeredInterface,
  "condition" | "name" | "newQueues" | "noteQueues" | "refillXskMap" | "repairAnswers" | "uncoveredPackets"
>;

export interface ReconcilerOptions {
  readonly portTable: Pick<PortTable, "repair">;
  readonly interfaces: readonly ComparedInterface[];
  readonly timers?: Timers;
}

const LOOK_MS = 1000;
/** How long an interface may have queues without sockets that the configuration wants. Then the process ends. */
const HOPELESS_MS = 60_000;

const COMPLAINT = "Cannot look at what is in force";
const log = logger("reconciler");

export class Reconciler implements Disposable {
  /** Rejects when something has been wrong for long that a restart puts right. */
  readonly failure: Promise<never>;
  readonly #fail: (error: SteerError) => void;
  readonly #options: ReconcilerOptions;
  readonly #timers: Timers;
  readonly #timer: Disposable;
  readonly #repairs = new Map<Repaired, { count: number; lastMs: number; wrongMs: number; words: string }>();
  /** True while another process is to take over, or has: nothing is compared. */
  paused = false;
  #lookedMs: number;
  /** By interface: packets on queues without sockets, at the last look. */
  readonly #uncovered: number[] = [];
  #uncoveredSinceMs: number | undefined;
  #disposed = false;

  /** Looks from now on: everything is in force. */
  constructor(options: ReconcilerOptions) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.failure.catch(() => {}); // whoever cares awaits it
    this.#fail = reject;
    this.#options = options;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    this.#lookedMs = this.#timers.now();
    this.#timer = this.#timers.every(LOOK_MS, () => this.#look());
  }

  /** What was put right, of each kind. */
  repairs(): readonly Repair[] {
    const now = this.#timers.now();
    return REPAIRED.map((what) => {
      const { count = 0, lastMs = -Infinity, wrongMs = 0, words = "" } = this.#repairs.get(what) ?? {};
      return { what, count, agoMs: now - lastMs, wrongMs, words };
    });
  }

  #look(): void {
    if (this.paused) return;
    this.look();
    this.#compareAllQueues();
    this.#judge();
  }

  /** Compares what is looked up fast: everything but the number of queues. Does not throw. */
  look(): void {
    if (!this.#disposed && !this.paused) this.#compareAll();
  }

  readonly #compareAll = surviving(() => this.#compare(), COMPLAINT);
  readonly #compareAllQueues = surviving(() => {
    for (const each of this.#options.interfaces) if (each.condition.state === "attached") this.#compareQueues(each);
  }, COMPLAINT);

  #compare(): void {
    const { portTable, interfaces } = this.#options;
    const { control, ports } = portTable.repair();
    if (control !== undefined) this.#note("control_word", `steering_control said ${control}`);
    if (ports !== undefined) this.#note("port_table", `${ports} in port_to_queue_map had been changed`);
    for (const [index, each] of interfaces.entries()) {
      if (each.condition.state !== "attached") continue;
      this.#compareSockets(each, index);
      if (each.repairAnswers()) this.#note("tc", `the program at tc egress of ${each.name} had been detached`);
    }
    this.#lookedMs = this.#timers.now();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#timer[Symbol.dispose]();
  }

  /** The map of sockets cannot be read. A slot that is empty shows in packets that go to the kernel stack. */
  #compareSockets(each: ComparedInterface, index: number): void {
    const packets = each.uncoveredPackets();
    const before = this.#uncovered[index] ?? 0;
    this.#uncovered[index] = packets;
    if (packets === before) return;
    const slots = each.refillXskMap();
    if (slots > 0) this.#note("xsk_map", `${slots} ${nounFor(slots, "socket")} of ${each.name} had gone from xsk_map`);
  }

  #compareQueues(each: ComparedInterface): void {
    const before = each.newQueues.length;
    each.noteQueues();
    if (each.newQueues.length <= before) return;
    log.error("Interface {interface} has got queues that have no sockets: {queues}", {
      interface: each.name,
      queues: each.newQueues.join(", "),
      hint: `their packets go to the kernel stack; after ${HOPELESS_MS / 1000} s the process ends, to be started anew`,
    });
  }

  #judge(): void {
    const more = this.#options.interfaces.filter(({ condition, newQueues }) =>
      condition.state === "attached" && newQueues.length > 0
    );
    const now = this.#timers.now();
    if (more.length === 0) this.#uncoveredSinceMs = undefined;
    else this.#uncoveredSinceMs ??= now;
    if (this.#uncoveredSinceMs === undefined || now - this.#uncoveredSinceMs < HOPELESS_MS) return;
    const names = more.map(({ name, newQueues }) => `${name} (${newQueues.join(", ")})`).join(", ");
    this.#fail(
      new SteerError(`Queues have had no sockets for ${HOPELESS_MS / 1000} s: ${names}`, {
        hint: "a start opens sockets on all queues; list queues under interfaces to steer some only",
      }),
    );
  }

  #note(what: Repaired, words: string): void {
    const { count = 0 } = this.#repairs.get(what) ?? {};
    const lastMs = this.#timers.now();
    const wrongMs = lastMs - this.#lookedMs;
    this.#repairs.set(what, { count: count + 1, lastMs, wrongMs, words });
    log.error("What steers packets was changed by somebody else, and was put right after at most {wrong}: {found}", {
      found: words,
      what,
      wrong: secondsText(wrongMs),
    });
  }
}
