/**
 * Forwarding, seen from the control thread: keeps the workers' forward table in step with the rules, the backends'
 * health and the kernel's next hops.
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import { TABLE } from "../dataplane/control_words.ts";
import type { ChangeQueue } from "../engine/change_queue.ts";
import type { ReadingWorkers } from "../engine/workers.ts";
import { messageOf } from "../errors.ts";
import { warnOfPrograms } from "../host/local_ports.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import { parseAddress } from "../packet/address.ts";
import { BACKEND_ROWS, type ForwardTable } from "../steering/forward_table.ts";
import { type Change, Changes, Published } from "../steering/published.ts";
import type { Rule } from "../steering/rule.ts";
import { RuleSlots } from "../steering/slots.ts";
import { type ForwardRule, type Forwards, ForwardWriter } from "./forward_writer.ts";
import { checksOf } from "./health/backend_checks.ts";
import type { BackendHealth, HealthSource } from "./health/checks.ts";
import type { NextHopSource } from "./next_hop/next_hops.ts";

/** Between two looks at neighbours that are missing or not confirmed. */
const PROVOKE_MS = 500;
/** Changes that come together are one. */
const GATHER_MS = 5;
/** After a failure, such as a worker that does not answer. */
const RETRY_MS = 1000;

const log = logger("forwarding");

/** What a backend is doing, for status and metrics. */
export interface BackendStatus {
  readonly name: string;
  /** Rules that name it; none: it is only kept for the sessions it has. */
  readonly rules: readonly string[];
  readonly health: BackendHealth | null;
  /** How it is reached; null where there is no route by a steered interface. */
  readonly nextHop: { readonly interface: string; readonly mac: string | null; readonly mtu: number } | null;
}

/** Where health and next hops come from. */
export interface ForwardingSources {
  health(onChange: (name: string, healthy: boolean) => void): HealthSource;
  nextHops(onChange: () => void): NextHopSource;
}

export interface ForwardingOptions {
  readonly tables: readonly ForwardTable[];
  readonly config: Config["forwarding"];
  /** Names, in the order in which workers number them. */
  readonly interfaces: readonly string[];
  readonly workers: ReadingWorkers;
  readonly queue: ChangeQueue;
  /** Called in the queue's turn after health or next hops have changed, and the workers know. */
  readonly onChange: () => Promise<void>;
  /** Asked when the first rule forwards. Default: the kernel. */
  readonly sources?: () => Promise<ForwardingSources>;
  readonly timers?: Timers;
}

/** Changed rules, prepared. */
export interface ForwardChange extends Change {
  /** Of the new rules, those that leave their packets to the kernel stack since no backend is healthy. */
  readonly passing: ReadonlySet<string>;
}

/** The real ones, loaded when they are needed. */
async function kernelSources(): Promise<ForwardingSources> {
  const [{ NextHops }, { HealthChecks }] = await Promise.all([
    import("./next_hop/next_hops.ts"),
    import("./health/checks.ts"),
  ]);
  return {
    health: (onChange) => new HealthChecks(onChange),
    nextHops: (onChange) => NextHops.open({ onChange }),
  };
}

const NO_FORWARDS: Forwards = { rules: [], retired: [], backends: new Map() };

export class Forwarding implements AsyncDisposable {
  readonly #options: ForwardingOptions;
  readonly #timers: Timers;
  readonly #tables: Published<ForwardTable>;
  readonly #writer: ForwardWriter;
  /** Rows that backends have, by name; as with rules, a row is given to another only long after. */
  readonly #rows = new RuleSlots(BACKEND_ROWS);
  #inForce: Forwards = NO_FORWARDS;
  #generation = 0;
  #gathering: Disposable | undefined;
  #provoking: Disposable | undefined;
  #nextHops: NextHopSource | undefined;
  #health: HealthSource | undefined;
  #disposed = false;

  constructor(options: ForwardingOptions) {
    const { config, interfaces, tables, timers, workers } = options;
    this.#options = options;
    this.#timers = timers ?? SYSTEM_TIMERS;
    this.#tables = new Published(tables, workers.readers(TABLE.forward));
    this.#writer = new ForwardWriter(config.tableSize, interfaces);
  }

  /** Whether there is room for these rules beside those in force, and those of before that are still needed. */
  hasRoomFor(rules: readonly Rule[]): boolean {
    const { rules: before, retired } = this.#inForce;
    const all = [...before, ...retired].map(({ spec }) => spec).concat(
      rules.flatMap(({ action }) => action.kind === "forward" ? action : []),
    );
    return this.#writer.hasRoom(all.length, new Set(all.flatMap(({ to }) => to.map(({ name }) => name))).size);
  }

  /**
   * Prepares new rules. The table that is then in force has the rules of before too, until {@linkcode forget}: packets
   * that were steered by them may still be on their way.
   *
   * @param slots Slot of each rule, in the same order.
   */
  async prepare(rules: readonly Rule[], slots: readonly number[]): Promise<ForwardChange> {
    const forwards = rules.flatMap(({ name, action }, index): ForwardRule[] =>
      action.kind === "forward" ? [{ name, slot: slots[index]!, spec: action }] : []
    );
    const before = this.#inForce;
    const changes = new Changes();
    if (forwards.length === 0 && before.rules.length === 0 && before.retired.length === 0) {
      return { passing: new Set(), flip: () => {}, back: () => {} };
    }
    await this.#open();
    const taken = new Set(forwards.map(({ slot }) => slot));
    const retired = [...before.rules, ...before.retired].filter(({ slot }) => !taken.has(slot));
    const specs = new Map(forwards.flatMap(({ spec }) => spec.to).map((spec) => [spec.name, spec]));
    const kept = new Set(retired.flatMap(({ spec }) => spec.to.map(({ name }) => name)));
    const names = [...specs.keys()];
    const rows = changes.add(this.#rows.plan(names, this.#generation + 1, kept));
    const checks = checksOf(rules);
    changes.add(this.#health!.change(checks));
    const checked = new Set(checks.map(({ backend }) => backend.name));
    const health = this.#health!.status();
    const backends = new Map([...before.backends].filter(([, { row }]) => !rows.reused.has(row)));
    names.forEach((name, index) => {
      const spec = specs.get(name)!;
      const known = backends.get(name) ??
        { spec, address: parseAddress(spec.address), row: rows.slots[index]!, nextHop: undefined, source: undefined };
      // Who is not checked is taken to be healthy. The health of others may change before the flip, and is looked at
      // again then.
      backends.set(name, { ...known, healthy: !checked.has(name) || (health.get(name)?.healthy ?? true) });
    });
    const next: Forwards = { rules: forwards, retired, backends };
    changes.add(await this.#prepareTable(next));
    const generation = this.#generation;
    changes.add({ flip: () => this.#generation = generation + 1, back: () => this.#generation = generation });
    return { passing: passingOf(next), flip: () => changes.flip(), back: () => changes.back() };
  }

  /** To be called when changed rules have come into force. */
  begin(): void {
    const health = this.#health?.status();
    let isOld = false;
    for (const [name, backend] of this.#inForce.backends) {
      const healthy = health?.get(name)?.healthy ?? backend.healthy;
      if (healthy === backend.healthy) continue;
      backend.healthy = healthy;
      isOld = true;
    }
    if (isOld) this.#changed();
    this.#provoke();
  }

  /** Prepares a table without the rules of before. No packet may be on its way any more that was steered by them. */
  forget(): Promise<Change> {
    if (this.#inForce.retired.length === 0) return Promise.resolve({ flip: () => {}, back: () => {} });
    return this.#prepareTable({ ...this.#inForce, retired: [] });
  }

  /** Rules in force that leave their packets to the kernel stack, since no backend is healthy. */
  get passing(): ReadonlySet<string> {
    return passingOf(this.#inForce);
  }

  status(): BackendStatus[] {
    const health = this.#health?.status();
    const { backends, rules } = this.#inForce;
    return [...backends.values()].map(({ spec: { name }, nextHop }) => ({
      name,
      rules: rules.filter(({ spec }) => spec.to.some((backend) => backend.name === name)).map((rule) => rule.name),
      health: health?.get(name) ?? null,
      nextHop: nextHop === undefined ? null : {
        interface: nextHop.interfaceName,
        mac: nextHop.mac === null ? null : formatMac(nextHop.mac),
        mtu: nextHop.mtu,
      },
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#gathering?.[Symbol.dispose]();
    this.#provoking?.[Symbol.dispose]();
    await this.#options.queue.idle;
    this.#nextHops?.[Symbol.dispose]();
    await this.#health?.[Symbol.asyncDispose]();
  }

  /** Writes the idle table. The change puts it in force. */
  async #prepareTable(next: Forwards): Promise<Change> {
    const before = this.#inForce;
    this.#writer.write(await this.#tables.idle(), next, this.#nextHops!);
    return {
      flip: () => {
        this.#tables.flip();
        this.#inForce = next;
      },
      back: () => {
        this.#tables.flip();
        this.#inForce = before;
      },
    };
  }

  /** Netlink and health checks begin with the first rule that forwards. */
  async #open(): Promise<void> {
    if (this.#nextHops !== undefined) return;
    const sources = await (this.#options.sources ?? kernelSources)();
    warnOfPrograms(this.#options.config.ports);
    const nextHops = sources.nextHops(() => this.#changed());
    this.#health = sources.health((name, healthy) => {
      const backend = this.#inForce.backends.get(name);
      if (backend === undefined) return;
      backend.healthy = healthy;
      this.#changed();
    });
    this.#nextHops = nextHops;
    this.#provoking = this.#timers.every(PROVOKE_MS, () => this.#provoke());
  }

  /** Asks the kernel for neighbours that are missing, and keeps those in use confirmed. */
  #provoke(): void {
    try {
      for (const { nextHop, address } of this.#inForce.backends.values()) {
        if (nextHop !== undefined) this.#nextHops!.provoke(nextHop, address);
      }
    } catch (error) {
      log.error("The kernel cannot be asked for neighbours: {error}", { error: messageOf(error) });
    }
  }

  #changed(delayMs = GATHER_MS): void {
    this.#gathering ??= this.#timers.after(delayMs, () => {
      this.#gathering = undefined;
      this.#options.queue.run(() => this.#update()).catch((error) => {
        log.error("The workers' forward table is not up to date: {error}", { error: messageOf(error) });
        if (!this.#disposed) this.#changed(RETRY_MS);
      });
    });
  }

  /** Puts what is known by now of health and next hops in force. */
  async #update(): Promise<void> {
    if (this.#disposed || this.#inForce === NO_FORWARDS) return;
    const change = await this.#prepareTable(this.#inForce);
    change.flip();
    await this.#tables.caughtUp();
    this.#provoke();
    await this.#options.onChange();
  }
}

function passingOf({ rules, backends }: Forwards): ReadonlySet<string> {
  const passing = rules.filter(({ spec }) =>
    spec.noneLeft === "pass" && !spec.to.some(({ name }) => backends.get(name)!.healthy)
  );
  return new Set(passing.map(({ name }) => name));
}

function formatMac(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
