/**
 * The whole appliance: interfaces, workers and rules, brought up and taken down in the right order.
 *
 * Up: programs attached with an empty port table (everything passes) -> sockets bound -> workers running -> xsk_map
 * filled -> the first generation put in force, last. Down: programs detached first -> workers drain what is in their
 * rings -> everything closed.
 *
 * @module
 */
import { LIMIT } from "../bpf/layout.gen.ts";
import type { SteeringProgram } from "../bpf/program.ts";
import type { Config, InterfaceConfig } from "../config/schema.ts";
import { rcuGracePeriod, yieldPriority } from "../ffi/libc.ts";
import { RuleSlots } from "../steering/slots.ts";
import { createForwardTables, viewForwardTables } from "../steering/forward_table.ts";
import { createWorkerTables, viewWorkerTables } from "../steering/worker_table.ts";
import { logger } from "../log.ts";
import type { Captures, CaptureStatus } from "../capture/captures.ts";
import { RuleTotals } from "../engine/counters.ts";
import { ChangeQueue } from "../engine/change_queue.ts";
import { Forwarding } from "../backends/forwarding.ts";
import { forwarderOptions } from "../backends/translation.ts";
import { PortTable } from "../bpf/port_table.ts";
import { findInterface, SteeredInterface } from "../engine/interface.ts";
import { requireOpenFiles } from "../host/privileges.ts";
import { Steering } from "./steering.ts";
import { WorkerPool } from "../engine/workers.ts";

export interface ApplianceOptions {
  readonly config: Config;
  /** Contents of a BPF object to use instead of the embedded one. */
  readonly object?: Uint8Array<ArrayBuffer> | undefined;
  /** The module of the process, main.ts or its bundle. */
  readonly entry: URL;
}

/** What a start has opened so far, so that a failed one closes exactly that. */
interface Parts {
  readonly interfaces: SteeredInterface[];
  readonly workers: WorkerPool;
  steering?: Steering;
  captures?: Captures;
}

/**
 * Where a CPU is short, packets go before whoever asks about them: a worker outweighs the control thread three to one.
 */
const CONTROL_NICENESS = 5;

const log = logger("appliance");

export class Appliance {
  readonly interfaces: readonly SteeredInterface[];
  readonly workers: WorkerPool;
  readonly #parts: Parts;
  readonly #startedMs = performance.now();
  #stopping: Promise<void> | undefined;

  private constructor(
    parts: Parts,
    readonly steering: Steering,
    readonly counts: RuleTotals,
    /** Of all that changes what is in force. */
    readonly queue: ChangeQueue,
  ) {
    this.#parts = parts;
    this.interfaces = parts.interfaces;
    this.workers = parts.workers;
  }

  /**
   * Brings everything up. When it returns, packets are steered.
   *
   * @throws {SteerError} and leaves nothing behind when any part fails.
   */
  static async start({ config, object, entry }: ApplianceOptions): Promise<Appliance> {
    const found = config.interfaces.map(findInterface); // all, before the first is touched
    requireOpenFiles(config.workers.count, found.reduce((sum, { queues }) => sum + queues.length, 0));
    const attach = (wanted: InterfaceConfig, shareWith?: SteeringProgram): Promise<SteeredInterface> =>
      SteeredInterface.attach({
        config: wanted,
        workers: config.workers.count,
        object,
        shareWith,
        alone: config.interfaces.length === 1,
      });
    // The kernel has the first program loaded by the time that the workers' threads are there, for which this one has
    // to wait.
    const first = attach(config.interfaces[0]!);
    const workers = new WorkerPool({ ...config.workers, entry });
    const parts: Parts = { interfaces: [], workers };
    try {
      for (const wanted of config.interfaces) {
        const steered = await (parts.interfaces.length === 0 ? first : attach(wanted, parts.interfaces[0]!.program));
        parts.interfaces.push(steered);
        if (steered.link.fallbackReason !== "") {
          log.warn("Interface {interface} is attached in generic mode: {reason}", {
            interface: steered.name,
            reason: steered.link.fallbackReason,
          });
        }
        await steered.openSockets();
      }
      const tables = createWorkerTables(LIMIT.RULE_SLOTS);
      const forwardTables = createForwardTables(LIMIT.RULE_SLOTS);
      const [low, high] = crypto.getRandomValues(new Int32Array(2));
      const key = { low: low!, high: high! };
      const running = workers.begin({
        ruleSlots: LIMIT.RULE_SLOTS,
        tables,
        forwardTables,
        sessions: (worker) => forwarderOptions(config.forwarding, worker, workers.count, key, LIMIT.RULE_SLOTS),
        describeEnds: (worker) => parts.interfaces.flatMap((steered) => steered.describeEnds(worker)),
      });
      const ready = running.then(() => {
        for (const steered of parts.interfaces) steered.fillXskMap();
      });
      ready.catch(() => {}); // told by whoever waits for it

      const slots = new RuleSlots(LIMIT.RULE_SLOTS);
      const ruleTotals = new RuleTotals(parts.interfaces, workers.counters, slots);
      const { program } = parts.interfaces[0]!;
      const queue = new ChangeQueue();
      const steering: Steering = new Steering({
        portTable: new PortTable(program),
        exact: program.embedded,
        tables: viewWorkerTables(tables),
        slots,
        retirement: (reused) => ruleTotals.retirement(reused),
        workers,
        queue,
        translation: config.forwarding,
        forwarding: new Forwarding({
          tables: viewForwardTables(forwardTables, LIMIT.RULE_SLOTS),
          config: config.forwarding,
          interfaces: config.interfaces.map(({ name }) => name),
          workers,
          queue,
          onChange: () => steering.followHealth(),
        }),
        openCaptures: async () => {
          const { Captures } = await import("../capture/captures.ts"); // loaded when first used
          const { interfaces } = parts;
          return parts.captures = new Captures({
            workers,
            interfaces,
            queue,
            slotOf: (rule) => slots.slotOf(rule),
            entry,
          });
        },
      });
      parts.steering = steering;
      await queue.run(() => steering.apply(config.steering, { addresses: config.forwarding.addresses, ready }));
      yieldPriority(CONTROL_NICENESS);
      workers.keepOthersOff();
      await steering.captured;
      return new Appliance(parts, steering, ruleTotals, queue);
    } catch (error) {
      await close(parts);
      throw error;
    }
  }

  /** Detaches, lets the workers finish, and closes everything. Safe to call more than once. */
  stop(): Promise<void> {
    return this.#stopping ??= close(this.#parts);
  }

  /** True while packets are steered by workers that all run. */
  get ready(): boolean {
    return this.#stopping === undefined && this.workers.allRunning && this.steering.generation > 0;
  }

  get uptimeMs(): number {
    return Math.round(performance.now() - this.#startedMs);
  }

  /** By rule: what is captured now, and what was captured before. */
  captureStatus(): readonly CaptureStatus[] {
    return this.#parts.captures?.status() ?? [];
  }
}

async function close({ interfaces, workers, steering, captures }: Parts): Promise<void> {
  for (const steered of interfaces) steered.detach();
  await rcuGracePeriod(); // the last redirected packets are in the rings now
  const joined = await workers.stop();
  await captures?.stop();
  if (!joined) {
    // A thread may still touch the rings, so they stay mapped: the process ends next, and the kernel frees them.
    log.error("A worker did not stop in time; its memory is freed when the process ends");
    return;
  }
  await steering?.[Symbol.asyncDispose]();
  for (const steered of [...interfaces].reverse()) steered.close();
}
