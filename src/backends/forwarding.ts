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
import { steeredPorts } from "../host/local_ports.ts";
import { foreignAmong } from "../host/own_addresses.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import { parseAddress } from "../packet/address.ts";
import { NO_ARRIVAL } from "../steering/arrivals.ts";
import { BACKEND_ROWS, type ForwardTable } from "../steering/forward_table.ts";
import type { Forward } from "../steering/forward.ts";
import type { KeptMemory } from "../steering/kept_clients.ts";
import { type Change, Changes, Published } from "../steering/published.ts";
import type { PortRange, Rule } from "../steering/rule.ts";
import {
  type Backend,
  type ForwardRule,
  type Forwards,
  ForwardWriter,
  type Health,
  isHealthy,
} from "./forward_writer.ts";
import { checksOf, eachOnce, withCheckPorts } from "./health/backend_checks.ts";
import type { BackendHealth, CheckedBackend, HealthSource } from "./health/checks.ts";
import { BackendFlows, type FlowsStanding } from "./flow.ts";
import { KeptBackends } from "./kept.ts";
import { type Hold, type HoldOrder, holdWarnings, holdWords, orderHold, takesNew } from "./holds.ts";
import { requireTakers } from "./moves.ts";
import { PassiveHealth } from "./passive.ts";
import { settleLeaving } from "./leaving.ts";
import type { Ask } from "./names/lookups.ts";
import type { Names, NameStatus } from "./names/names.ts";
import type { NextHopSource } from "./next_hop/next_hops.ts";
import { Refusals } from "./refusals.ts";
import { BackendRows, type RowsStanding } from "./rows.ts";
import { placeSources } from "../steering/sources.ts";
import { hasNone } from "./shares.ts";
import type { StartsStanding } from "./slow_start.ts";
import { type BackendStatus, backendStatuses, type RuleBackends, ruleBackends } from "./status.ts";
import type { WayOut } from "./way.ts";

/** Between two looks at neighbours that are missing or not confirmed. */
const PROVOKE_MS = 500;
/** Changes that come together are one. */
const GATHER_MS = 5;
/**
 * Rows kept free for the backends of the next change: sessions of those that have been leaving for longest end for
 * them.
 */
const SPARE_ROWS = 256;
/** After a failure, such as a worker that does not answer. */
const RETRY_MS = 1000;

const log = logger("forwarding");

/** What a process gives to the one that takes over from it: what sessions refer to, and what is known of backends. */
export interface ForwardingStanding {
  readonly rows: RowsStanding;
  readonly sources: Forwards["sources"];
  readonly sourceGeneration: number;
  readonly backends: readonly (readonly [name: string, backend: Backend])[];
  readonly holds: readonly (readonly [name: string, hold: Hold])[];
  readonly flows: FlowsStanding;
  readonly health: readonly (readonly [key: string, health: BackendHealth])[];
  /** Names of backends that see their clients' addresses, or have; versions before do not send them. */
  readonly kept?: readonly string[];
  /** For how long backends have got new sessions; versions before do not send it. */
  readonly starting?: StartsStanding;
}

/** Where health and next hops come from. */
export interface ForwardingSources {
  /** @param found What is known of it. */
  health(onChange: () => void, found?: ReadonlyMap<string, BackendHealth>): HealthSource;
  nextHops(onChange: () => void): NextHopSource;
}

export interface ForwardingOptions {
  readonly tables: readonly ForwardTable[];
  readonly config: Config["forwarding"];
  /** As they are at any time, in the order in which workers number them. */
  readonly interfaces: readonly WayOut[];
  readonly workers: ReadingWorkers;
  readonly queue: ChangeQueue;
  /** Called in the queue's turn after health or next hops have changed, and the workers know. */
  readonly onChange: () => Promise<void>;
  /** Asked when the first rule keeps its clients' addresses. */
  readonly openKept: () => Promise<KeptMemory>;
  /** What {@linkcode Forwarding.standing} was in the process before. */
  readonly before?: ForwardingStanding | undefined;
  /** Asked when the first rule forwards. Default: the kernel. */
  readonly sources?: () => Promise<ForwardingSources>;
  /** Asked when the first backend has a name. Default: DNS servers. */
  readonly ask?: Ask;
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
    health: (onChange, found) => new HealthChecks(onChange, found),
    nextHops: (onChange) => NextHops.open({ onChange }),
  };
}

/** Rules as the configuration has them: what its names mean may change. */
interface Asked {
  readonly rules: readonly Rule[];
  readonly slots: readonly number[];
  readonly addresses: readonly string[];
  /** Ports whose packets go to workers. */
  readonly steered: readonly PortRange[];
}

const NO_FORWARDS: Forwards = {
  rules: [],
  retired: [],
  backends: new Map(),
  sources: [],
  holds: new Map(),
  answers: 0,
};

export class Forwarding implements AsyncDisposable {
  readonly #options: ForwardingOptions;
  readonly #timers: Timers;
  readonly #tables: Published<ForwardTable>;
  readonly #writer: ForwardWriter;
  readonly #rows: BackendRows;
  readonly #refusals = new Refusals();
  readonly #flows: BackendFlows;
  readonly #passive = new PassiveHealth();
  readonly #kept: KeptBackends;
  #inForce: Forwards = NO_FORWARDS;
  /** Of the process before, until rules are in force here. */
  readonly #inherited: Forwards;
  /** By which the last table was written. */
  #writtenHealth = wordsOf(new Map());
  /** Of the last translation address that was given a place. */
  #sourceGeneration = 0;
  #asked: Asked = { rules: [], slots: [], addresses: [], steered: [] };
  #names: Names | undefined;
  #gathering: Disposable | undefined;
  #renaming: Disposable | undefined;
  #provoking: Disposable | undefined;
  #nextHops: NextHopSource | undefined;
  #health: HealthSource | undefined;
  #disposed = false;

  constructor(options: ForwardingOptions) {
    const { config, interfaces, tables, timers, workers } = options;
    this.#options = options;
    this.#timers = timers ?? SYSTEM_TIMERS;
    this.#tables = new Published(tables, workers.readers(TABLE.forward));
    const starting = options.before?.starting;
    this.#writer = new ForwardWriter(config.tableSize, interfaces, () => this.#timers.now(), starting);
    this.#kept = new KeptBackends(options.openKept, options.before?.kept);
    const { before } = options;
    const now = this.#timers.now();
    const rows = before?.rows.rows.map(([name, row]) => [name, later(row, now)] as const);
    this.#rows = new BackendRows(BACKEND_ROWS, rows && { rows, generation: before!.rows.generation });
    this.#flows = new BackendFlows((row) => workers.countsOf(row), before?.flows);
    this.#sourceGeneration = before?.sourceGeneration ?? 0;
    this.#inherited = before === undefined ? NO_FORWARDS : {
      ...NO_FORWARDS,
      sources: before.sources,
      backends: new Map(before.backends.map(([name, backend]) => [name, later(backend, now)])),
      holds: new Map(before.holds),
    };
  }

  /** Whether there is room for these rules beside those in force, and those of before that are still needed. */
  hasRoomFor(asked: readonly Rule[]): boolean {
    const { rules: before, retired } = this.#inForce;
    const specs = specsOf(this.#expanded(asked));
    const all = [...before, ...retired].map(({ spec }) => spec).concat(specs);
    return this.#writer.hasRoom(all.length, new Set(all.flatMap(namesOf)).size) &&
      this.#rows.hasRoomFor(new Set(specs.flatMap(namesOf)));
  }

  /**
   * Prepares new rules. The table that is then in force has the rules of before too, until {@linkcode forget}: packets
   * that were steered by them may still be on their way.
   *
   * @param slots Slot of each rule, in the same order; then that of backends' answers, where they are steered.
   * @param addresses The box's own that sessions are translated to; none: those that the routes to backends name.
   */
  async prepare(
    asked: readonly Rule[],
    slots: readonly number[],
    addresses: readonly string[],
  ): Promise<ForwardChange> {
    await this.#followNames(asked);
    const rules = this.#expanded(asked);
    const forwards = rules.flatMap(({ name, ports, action }, index): ForwardRule[] =>
      action.kind === "forward"
        ? [{ name, slot: slots[index]!, firstPort: Math.min(...ports.map(({ first }) => first)), spec: action }]
        : []
    );
    const before = this.#inForce === NO_FORWARDS ? this.#inherited : this.#inForce;
    const changes = new Changes();
    if (forwards.length === 0 && before.rules.length === 0 && before.retired.length === 0) {
      return { passing: new Set(), flip: () => {}, back: () => {} };
    }
    await this.#open();
    const sources = placeSources(before.sources, addresses, ++this.#sourceGeneration);
    const taken = new Set(forwards.map(({ slot }) => slot));
    const retired = [...before.rules, ...before.retired].filter(({ slot }) => !taken.has(slot));
    const specs = new Map(forwards.flatMap(({ spec }) => spec.to).map((spec) => [spec.name, spec]));
    const plan = changes.add(this.#rows.plan(new Set(specs.keys()), this.#timers.now()));
    const ruled = checksOf(rules);
    const backends = new Map([...plan.rows].map(([name, row]) => {
      const known = before.backends.get(name);
      const spec = specs.get(name) ?? known!.spec;
      const checks = row.leftMs === undefined ? ruled.filter(({ backend }) => backend.name === name) : known!.checks;
      const drains = forwards.filter(({ spec: { to } }) => to.some((backend) => backend.name === name));
      const drainMs = drains.length === 0
        ? known?.drainMs ?? 0
        : Math.max(...drains.map(({ spec: { drainTimeout } }) => drainTimeout)) * 1000;
      const { address = parseAddress(spec.address), nextHop, noRoute, source, arrival = NO_ARRIVAL } = known ?? {};
      const backend: Backend = { spec, address, ...row, checks, drainMs, nextHop, noRoute, source, arrival };
      // One whose sessions have been ended stays so until the rules name it again.
      return [name, row.leftMs !== undefined && known?.generation === 0 ? { ...backend, generation: 0 } : backend];
    }));
    for (const [name, { row }] of plan.rows) {
      const isKnown = this.#inForce.backends.get(name)?.row === row;
      if (!isKnown) this.#flows.begin(name, row, this.#timers.now());
    }
    const answers = slots[asked.length] ?? before.answers;
    const next: Forwards = { rules: forwards, retired, backends, sources, holds: before.holds, answers };
    const steered = steeredPorts(rules, this.#options.config.ports);
    changes.add(this.#health!.change(checksIn(backends), steered));
    const askedBefore = this.#asked;
    changes.add({
      flip: () => {
        this.#asked = { rules: asked, slots, addresses, steered };
      },
      back: () => {
        this.#asked = askedBefore;
      },
    });
    changes.add(await this.#prepareTable(next));
    return { passing: passingOf(next, this.#healthNow), flip: () => changes.flip(), back: () => changes.back() };
  }

  /** To be called when changed rules have come into force. */
  begin(): void {
    this.#names?.retain(specsOf(this.#asked.rules));
    if (wordsOf(this.#healthNow) !== this.#writtenHealth) this.#changed();
    this.#provoke();
  }

  /** Prepares a table without the rules of before. No packet may be on its way any more that was steered by them. */
  forget(): Promise<Change> {
    if (this.#inForce.retired.length === 0) return Promise.resolve({ flip: () => {}, back: () => {} });
    return this.#prepareTable({ ...this.#inForce, retired: [] });
  }

  /** To be called when an interface has been attached, has gone, or is called something else. */
  interfacesChanged(): void {
    if (this.#inForce !== NO_FORWARDS && !this.#disposed) this.#changed();
  }

  /** Rules in force that leave their packets to the kernel stack, since no backend is healthy. */
  get passing(): ReadonlySet<string> {
    return passingOf(this.#inForce, this.#healthNow);
  }

  /**
   * Does to a backend what an operator wants, in a turn of the queue. When it returns, workers act by it.
   *
   * @returns What else that means.
   * @throws {SteerError} where it cannot be done: there is no such backend, or it cannot have the sessions.
   */
  hold(order: HoldOrder, { dryRun = false } = {}): Promise<{ readonly warnings: readonly string[] }> {
    return this.#options.queue.run(async () => {
      const holds = orderHold({ ...this.#inForce, names: this.names() }, order, this.#timers.date().toISOString());
      requireTakers(this.#inForce, this.#healthNow, holds, order);
      const warnings = holdWarnings(this.#inForce, holds, order.name);
      if (dryRun) return { warnings };
      (await this.#prepareTable({ ...this.#inForce, holds })).flip();
      await this.#tables.caughtUp();
      log.info("Backend {backend}: {action} by hand", { backend: order.name, ...order });
      return { warnings };
    });
  }

  /** What an operator has done to backends, in words: changes of the configuration leave it as it is. */
  get held(): readonly string[] {
    return holdWords(this.#inForce.holds);
  }

  /** For a process that comes after this one. */
  get standing(): ForwardingStanding {
    const { sources, backends, holds } = this.#inForce;
    const now = this.#timers.now();
    const rows = this.#rows.standing;
    return {
      rows: { ...rows, rows: rows.rows.map(([name, row]) => [name, later(row, -now)]) },
      sources,
      sourceGeneration: this.#sourceGeneration,
      backends: [...backends].map(([name, backend]) => [
        name,
        { ...later(backend, -now), nextHop: undefined, noRoute: undefined },
      ]),
      holds: [...holds],
      flows: this.#flows.standing,
      health: [...this.#health?.status() ?? []],
      kept: this.#kept.standing,
      starting: this.#writer.slowStart.standing,
    };
  }

  status(): BackendStatus[] {
    return backendStatuses(this.#inForce, this.#health?.status() ?? new Map(), {
      passive: this.#passive.out,
      names: this.names(),
      now: this.#timers.now(),
      date: this.#timers.date(),
      flowOf: (name) => this.#flows.of(name, this.#timers.now()),
      interfaces: this.#options.interfaces,
      sessionsWith: (row) => this.#options.workers.sessionsWith(row),
    });
  }

  /** What the names of backends mean. */
  names(): NameStatus[] {
    return this.#names?.status() ?? [];
  }

  /** Addresses that sessions are translated to and that no interface has: backends cannot answer to them. */
  foreignAddresses(): string[] {
    return foreignAmong(this.#inForce.sources.map(({ address }) => address));
  }

  /** What each rule in force finds of its backends. */
  rules(): RuleBackends[] {
    return ruleBackends(this.#inForce, this.#healthNow, this.#options.interfaces);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#gathering?.[Symbol.dispose]();
    this.#provoking?.[Symbol.dispose]();
    this.#renaming?.[Symbol.dispose]();
    this.#names?.[Symbol.dispose]();
    await this.#options.queue.idle;
    this.#nextHops?.[Symbol.dispose]();
    await this.#health?.[Symbol.asyncDispose]();
  }

  /** Writes the idle table. The change puts it in force. */
  async #prepareTable(next: Forwards): Promise<Change> {
    const before = this.#inForce;
    const table = await this.#tables.idle();
    const health = this.#healthNow;
    this.#writer.write(table, next, this.#nextHops!, health);
    await this.#kept.write(table, next);
    this.#writtenHealth = wordsOf(health);
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

  /** Looks names up, of rules that are to come into force too. */
  async #followNames(rules: readonly Rule[]): Promise<void> {
    const specs = specsOf(rules);
    if (this.#names === undefined && specs.every(({ names }) => names.length === 0)) return;
    if (this.#names === undefined) {
      const [{ Names }, { ANSWER_MS, ask }] = await Promise.all([
        import("./names/names.ts"),
        import("./names/servers.ts"),
      ]);
      const { nameServers } = this.#options.config;
      const mayUse = (port: number): boolean =>
        !this.#asked.steered.some(({ first, last }) => first <= port && port <= last);
      this.#names = new Names({
        ask: this.#options.ask ??
          ((name, type) => ask(nameServers, name, type, { mayUse, timeoutMs: ANSWER_MS })),
        timers: this.#timers,
        onChange: () => this.#renamed(),
      });
    }
    await this.#names.follow(specs);
  }

  /** Rules with what their names mean now, and what port each backend is checked on. */
  #expanded(rules: readonly Rule[]): readonly Rule[] {
    const names = this.#names;
    return rules.map((rule) =>
      withCheckPorts(
        names !== undefined && rule.action.kind === "forward" ? { ...rule, action: names.expand(rule.action) } : rule,
      )
    );
  }

  /** A name means something else: puts the rules in force anew. */
  #renamed(delayMs = GATHER_MS): void {
    this.#renaming ??= this.#timers.after(delayMs, () => {
      this.#renaming = undefined;
      this.#options.queue.run(() => this.#putNames()).catch((error) => {
        log.error("What the names of backends mean is not in force: {error}", { error: messageOf(error) });
        if (!this.#disposed) this.#renamed(RETRY_MS);
      });
    });
  }

  async #putNames(): Promise<void> {
    const { rules, slots, addresses } = this.#asked;
    if (this.#disposed || rules.length === 0) return;
    if (!this.hasRoomFor(rules)) await this.forgetBackends();
    (await this.prepare(rules, slots, addresses)).flip();
    await this.#tables.caughtUp();
    this.begin();
    await this.#options.onChange();
  }

  /** Netlink and health checks begin with the first rule that forwards. */
  async #open(): Promise<void> {
    if (this.#nextHops !== undefined) return;
    const sources = await (this.#options.sources ?? kernelSources)();
    const nextHops = sources.nextHops(() => this.#changed());
    this.#health = sources.health(() => this.#changed(), new Map(this.#options.before?.health));
    this.#nextHops = nextHops;
    this.#provoking = this.#timers.every(PROVOKE_MS, () => {
      this.#provoke();
      this.#flows.look(this.#timers.now());
      this.#lookAtPassive();
      this.#supervise();
      if (this.#kept.isDue(this.#inForce, this.#timers.now())) {
        void this.#options.queue.run(() => Promise.resolve(this.#kept.settle(this.#inForce)));
      }
      if (this.#writer.slowStart.due) this.#changed();
      this.#refusals.look(this.#options.workers.refused, this.#timers.now());
    });
  }

  get #healthNow(): Health {
    return new Map<string, { readonly healthy: boolean }>([...this.#health?.status() ?? [], ...this.#passive.out]);
  }

  /** What clients' packets have met with. */
  #lookAtPassive(): void {
    const { rules, holds } = this.#inForce;
    if (rules.every(({ spec }) => spec.passive === undefined) && this.#passive.out.size === 0) return;
    const changed = this.#passive.look(this.#inForce, {
      nowMs: this.#timers.now(),
      date: this.#timers.date(),
      active: this.#health?.status() ?? new Map(),
      countsOf: (row) => this.#options.workers.countsOf(row),
      isUsable: ({ spec }, backend) => isHealthy(spec, backend, this.#healthNow) && takesNew(backend, holds),
    });
    if (changed) this.#changed();
  }

  /** Looks after backends that the rules do not name any more, until no session uses them. */
  #supervise(): void {
    if ([...this.#inForce.backends.values()].every(({ leftMs }) => leftMs === undefined)) return;
    this.#options.queue.run(() => this.forgetBackends()).catch((error) => {
      log.error("Backends that are not in the rules any more are not forgotten: {error}", { error: messageOf(error) });
    });
  }

  /** Ends sessions as {@linkcode settleLeaving} says, and forgets backends without one. In a turn of the queue. */
  async forgetBackends(): Promise<void> {
    const { retired, backends } = this.#inForce;
    // A table with rules of before still makes sessions with their backends.
    if (this.#disposed || retired.length > 0 || this.#inForce === NO_FORWARDS) return;
    await this.#tables.caughtUp();
    const { gone, ended } = settleLeaving(backends, {
      now: this.#timers.now(),
      health: this.#healthNow,
      sessionsWith: (row) => this.#options.workers.sessionsWith(row),
      needed: SPARE_ROWS - this.#rows.free,
    });
    if (gone.length === 0 && ended.size === 0) return;
    const kept = new Map([...backends, ...ended]);
    for (const name of gone) kept.delete(name);
    const holds = new Map([...this.#inForce.holds].filter(([name]) => kept.has(name)));
    const changes = new Changes();
    changes.add(this.#health!.change(checksIn(kept)));
    changes.add(await this.#prepareTable({ ...this.#inForce, backends: kept, holds }));
    changes.flip();
    this.#rows.release(gone);
    this.#flows.retain(kept);
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

/** The same, so much later: the clocks of two processes begin with them. */
function later<Leaving extends { readonly leftMs: number | undefined }>(leaving: Leaving, ms: number): Leaving {
  return { ...leaving, leftMs: leaving.leftMs === undefined ? undefined : leaving.leftMs + ms };
}

function specsOf(rules: readonly Rule[]): Forward[] {
  return rules.flatMap(({ action }) => action.kind === "forward" ? action : []);
}

function namesOf({ to }: Forward): string[] {
  return to.map(({ name }) => name);
}

function passingOf({ rules }: Forwards, health: Health): ReadonlySet<string> {
  const passing = rules.filter(({ spec }) => spec.noneLeft === "pass" && hasNone(spec, health));
  return new Set(passing.map(({ name }) => name));
}

/** What fails: what is not checked yet counts as healthy. */
function wordsOf(health: Health): string {
  return [...health].filter(([, { healthy }]) => !healthy).map(([key]) => key).sort().join("\n");
}

/** All checks of backends, each once. */
function checksIn(backends: ReadonlyMap<string, Backend>): CheckedBackend[] {
  return eachOnce([...backends.values()].flatMap(({ checks }) => checks));
}
