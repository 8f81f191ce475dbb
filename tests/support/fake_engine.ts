/**
 * What stands below the rules in force, without a kernel: workers that read what is published, a port table, health,
 * next hops. Each can be made to fail.
 *
 * @module
 */
import type { HealthSource } from "../../src/backends/health/checks.ts";
import type { FrameDevice, NextHop, NextHopSource, PrefixRoute } from "../../src/backends/next_hop/next_hops.ts";
import type { PortSteering } from "../../src/bpf/port_table.ts";
import type { Table } from "../../src/dataplane/control_words.ts";
import type { ReadingWorkers } from "../../src/engine/workers.ts";
import { SteerError } from "../../src/errors.ts";
import { type BackendCounts, NO_COUNTS } from "../../src/steering/backend_counts.ts";
import type { GuardSteering, RuleGuards } from "../../src/guard/source_guard.ts";
import { parseAddress, parseMac } from "../../src/packet/address.ts";
import { type GuardSettings, isGuarding } from "../../src/steering/guard.ts";
import type { PortMap } from "../../src/steering/port_map.ts";
import type { Change, Readers } from "../../src/steering/published.ts";
import type { Rule } from "../../src/steering/rule.ts";

/** Workers that are up to date at once, unless they hang. */
export class FakeWorkers implements ReadingWorkers {
  readonly count = 2;
  /** By table. */
  readonly versions: number[] = [0, 0, 0, 0];
  /** Tables that a worker does not take up. */
  readonly hung = new Set<Table>();
  /** Tables whose next flip fails. */
  readonly failing = new Set<Table>();
  /** How many of the workers' answers to {@linkcode passed} are withheld: they come with {@linkcode answer}. */
  withheld: (() => void)[] | undefined;
  sessions = 0;
  refused = { rows: 0, ports: 0, backends: 0 };
  /** By row of the forward table. */
  readonly sessionsOfRow = new Map<number, number>();
  readonly countsOfRow = new Map<number, BackendCounts>();
  /** How often it was waited for the packets that workers have in hand. */
  asked = 0;

  readers(table: Table): Readers {
    const { versions } = this;
    return {
      get version(): number {
        return versions[table]!;
      },
      publish: (version) => {
        if (this.failing.delete(table)) throw new Error(`table ${table} does not flip`);
        versions[table] = version;
      },
      caughtUp: () =>
        this.hung.has(table) ? Promise.reject(new SteerError("A worker has not answered")) : Promise.resolve(),
    };
  }

  sessionsWith(row: number): number {
    return this.sessionsOfRow.get(row) ?? 0;
  }

  countsOf(row: number): BackendCounts {
    return this.countsOfRow.get(row) ?? NO_COUNTS;
  }

  passed(): Promise<void> {
    this.asked++;
    const { withheld } = this;
    return withheld === undefined ? Promise.resolve() : new Promise((resolve) => withheld.push(resolve));
  }

  /** The workers have passed all that was withheld so far, and do so at once from now on. */
  answer(): void {
    const withheld = this.withheld ?? [];
    this.withheld = undefined;
    for (const resolve of withheld) resolve();
  }
}

export class FakePortTable implements PortSteering {
  inForce: { readonly ports: PortMap; readonly generation: number } = { ports: [], generation: 0 };
  readonly settled = Promise.resolve();
  /** What goes wrong next. */
  fails: "prepare" | "flip" | undefined;
  disposed = false;

  prepare(ports: PortMap, generation: number): Promise<Change> {
    if (this.#failsIn("prepare")) return Promise.reject(new SteerError("The kernel's port table differs"));
    const before = this.inForce;
    return Promise.resolve({
      flip: () => {
        if (this.#failsIn("flip")) throw new Error("the port table does not flip");
        this.inForce = { ports, generation };
      },
      back: () => this.inForce = before,
    });
  }

  #failsIn(step: typeof this.fails): boolean {
    const fails = this.fails === step;
    if (fails) this.fails = undefined;
    return fails;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
    return Promise.resolve();
  }
}

/** Every rule with sources has a policy of its own. */
export class FakeGuard implements GuardSteering {
  current: RuleGuards = { policiesOf: () => 0n, place: 0 };
  readonly reports: GuardSteering["reports"] = [];
  fails = false;

  prepare(rules: readonly Rule[], { guard }: GuardSettings): ReturnType<GuardSteering["prepare"]> {
    if (this.fails) return Promise.reject(new SteerError("The lists cannot be built"));
    const before = this.current;
    const all = [guard, ...rules.map(({ sources }) => sources)];
    const guards: RuleGuards = {
      policiesOf: ({ sources }) =>
        (isGuarding(guard) ? 1n : 0n) | (sources === undefined ? 0n : 1n << BigInt(all.indexOf(sources))),
      place: before.place ^ 1,
    };
    return Promise.resolve({ ...guards, flip: () => this.current = guards, back: () => this.current = before });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

export class FakeHealth implements HealthSource {
  /** Names of backends that are checked. */
  checked: readonly string[] = [];
  #keys: readonly string[] = [];
  readonly unhealthy = new Set<string>();
  failsToFlip = false;

  constructor(private readonly onChange: () => void) {}

  change(backends: Parameters<HealthSource["change"]>[0]): Change {
    const [before, keys] = [this.checked, this.#keys];
    return {
      flip: () => {
        if (this.failsToFlip) throw new SteerError("No file descriptor is left");
        this.checked = backends.map(({ backend }) => backend.name);
        this.#keys = backends.map(({ key }) => key);
      },
      back: () => [this.checked, this.#keys] = [before, keys],
    };
  }

  /** A check has ended, and made a difference. */
  set(name: string, healthy: boolean): void {
    if (healthy) this.unhealthy.delete(name);
    else this.unhealthy.add(name);
    this.onChange();
  }

  /** The same of one of a backend's checks. */
  setCheck(name: string, kind: string, healthy: boolean): void {
    const key = this.#keys.find((each) => each.startsWith(`${name} `) && each.includes(`"${kind}"`));
    this.set(key!, healthy);
  }

  status(): ReturnType<HealthSource["status"]> {
    return new Map(this.checked.map((name, index) => [this.#keys[index]!, {
      healthy: !this.unhealthy.has(name) && !this.unhealthy.has(this.#keys[index]!),
      lastMs: null,
      reason: "",
      since: "",
      checks: 0,
      failures: 0,
      hindered: null,
      failure: null,
    }]));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.checked = [];
    return Promise.resolve();
  }
}

/** Every destination is a neighbour behind `back0`. */
export class FakeNextHops implements NextHopSource {
  /** As they are now: null where there is no route. */
  readonly macs = new Map<string, string | null>();
  /** What the kernel says of devices. */
  frameDevices: readonly FrameDevice[] = [];
  /** The same of routes. */
  prefixRoutes: readonly PrefixRoute[] = [];
  fails = false;
  provoked = 0;

  constructor(private readonly onChange: () => void) {}

  lookup(destination: Uint8Array): NextHop | undefined {
    if (this.fails) throw new SteerError("Cannot look up a route");
    const mac = this.macs.get(destination.join("."));
    if (mac === null) return undefined;
    return {
      ifindex: 2,
      interfaceName: "back0",
      routeIfindex: 2,
      vlan: [],
      source: parseAddress(destination.length === 4 ? "10.9.0.1" : "fd09::1"),
      sourceMac: parseMac("02:00:00:00:00:02"),
      gateway: null,
      mtu: 1500,
      mac: mac === undefined ? parseMac("02:00:00:00:00:03") : parseMac(mac),
      up: true,
    };
  }

  routes(): readonly PrefixRoute[] {
    return this.prefixRoutes;
  }

  devices(): readonly FrameDevice[] {
    return this.frameDevices;
  }

  provoke(): void {
    this.provoked++;
  }

  /** The kernel has told of a change. */
  change(address: string, mac: string | null): void {
    this.macs.set(address, mac);
    this.onChange();
  }

  [Symbol.dispose](): void {}
}
