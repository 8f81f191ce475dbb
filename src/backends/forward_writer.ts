/**
 * Writes forward tables: what the rules, the backends' health and the kernel's next hops make of them.
 *
 * @module
 */
import { logger } from "../log.ts";
import { keepLink } from "../packet/link_header.ts";
import { MAX_VLAN_TAGS, portInPacket } from "../packet/udp.ts";
import { arrivalBy, NO_ARRIVAL, writeArrivals } from "../steering/arrivals.ts";
import {
  BACKEND,
  BACKEND_IPV6,
  BACKEND_KNOWN,
  BACKEND_RANGE,
  BACKEND_REACHABLE,
  BACKEND_ROWS,
  backendAt,
  CHOICE,
  FORWARD,
  FORWARD_ROWS,
  forwardAt,
  type ForwardTable,
  indexBackends,
  MAGLEV_ROOM,
  modeWord,
  usableAt,
} from "../steering/forward_table.ts";
import { MAX_ROUTE_MTUS, NOWHERE, writeRouteMtus } from "../steering/route_mtus.ts";
import { fillMaglev } from "../steering/maglev.ts";
import type { Backend as ConfiguredBackend, Forward } from "../steering/forward.ts";
import { checkOf } from "./health/backend_checks.ts";
import type { CheckedBackend } from "./health/checks.ts";
import type { FrameDevice, NextHop, NextHopSource, NoRoute } from "./next_hop/next_hops.ts";
import type { Holds } from "./holds.ts";
import { isIn } from "./passive.ts";
import { PORT_COUNT } from "../steering/port_map.ts";
import { type Source, writeSources } from "../steering/sources.ts";
import { mayServe, takingOf } from "./shares.ts";
import { SlowStart, type StartsStanding } from "./slow_start.ts";
import { noWayTo, type WayOut, wayOutOf } from "./way.ts";

/** The highest port there is. */
const LAST_PORT = PORT_COUNT - 1;

const log = logger("forwarding");

export interface Backend {
  readonly spec: Omit<ConfiguredBackend, "weight">;
  readonly address: Uint8Array;
  readonly row: number;
  /** Of the row; 0 ends the sessions that the backend has. */
  readonly generation: number;
  /** When the rules stopped naming it; undefined while they do. */
  readonly leftMs: number | undefined;
  /** How it may be checked: by every rule that names it, or did last. */
  readonly checks: readonly CheckedBackend[];
  /** How long it may drain when it is no longer named, ms. */
  readonly drainMs: number;
  nextHop: NextHop | undefined;
  /** Why there is no next hop. */
  noRoute?: NoRoute | undefined;
  /** What the box sends from to it; stays known while there is no route to it, so that its answers are. */
  source: Uint8Array | undefined;
  /** By which it answers; NO_ARRIVAL before that is known. Stays known like {@linkcode source}. */
  arrival: number;
}

/** What checks say of backends, by the checks' keys. What is not checked yet is healthy. */
export type Health = ReadonlyMap<string, { readonly healthy: boolean }>;

export interface ForwardRule {
  readonly name: string;
  readonly slot: number;
  /** The first of its ports. */
  readonly firstPort: number;
  readonly spec: Forward;
}

/** What a forward table says. */
export interface Forwards {
  readonly rules: readonly ForwardRule[];
  /** Rules of before, for packets that were steered by them. Their slots are not those of {@linkcode rules}. */
  readonly retired: readonly ForwardRule[];
  /** By name: all that have a row, those too that are only kept for the sessions they have. */
  readonly backends: ReadonlyMap<string, Backend>;
  readonly sources: readonly Source[];
  /** By backend's name. */
  readonly holds: Holds;
  /** Slot that backends' answers count with; 0: there is none. */
  readonly answers: number;
}

/** The last port that a backend may get packets on: any where it has none of its own. */
export function lastPortOf({ port, lastPort = port }: Backend["spec"]): number {
  return port === 0 ? LAST_PORT : lastPort;
}

/** Whether a rule takes one of its backends to be healthy. */
export function isHealthy(
  { health: asked, passive }: Forward,
  backend: ConfiguredBackend,
  health: Health,
): boolean {
  if (!isIn(passive, backend, health)) return false;
  return asked === null || (health.get(checkOf(backend, asked).key)?.healthy ?? true);
}

/** Whether all checks of a backend succeed, whichever rules they are for. */
export function allSucceed({ checks }: Backend, health: Health): boolean {
  return checks.every(({ key }) => health.get(key)?.healthy ?? true);
}

export class ForwardWriter {
  /** What each table has at an entry of its Maglev tables. */
  readonly #filled = new WeakMap<ForwardTable, Map<number, string>>();
  readonly slowStart: SlowStart;
  #routesFit = true;

  /**
   * @param tableSize Entries of each Maglev table.
   * @param interfaces As they are at any time, in the order in which workers number them.
   * @param now Milliseconds of any clock that only goes forward.
   * @param starting Of the process before.
   */
  constructor(
    private readonly tableSize: number,
    private readonly interfaces: readonly WayOut[],
    now: () => number,
    starting?: StartsStanding,
  ) {
    this.slowStart = new SlowStart(now, starting);
  }

  /** Whether a table has room for so many rules and backends. */
  hasRoom(rules: number, backends: number): boolean {
    return rules <= FORWARD_ROWS && 2 * rules * this.tableSize <= MAGLEV_ROOM && backends < BACKEND_ROWS;
  }

  /**
   * Writes all of `table`, which nobody reads. Notes in each backend how it is reached now.
   *
   * @throws {SyscallError} when the kernel cannot be asked for a route.
   */
  write(
    table: ForwardTable,
    { rules, retired, backends, sources, holds }: Forwards,
    nextHops: NextHopSource,
    health: Health,
  ): void {
    writeSources(table, sources);
    const rows = new Set<number>();
    for (const backend of backends.values()) {
      rows.add(backend.row);
      this.#writeBackend(table, backend, nextHops);
      const { to = null } = holds.get(backend.spec.name) ?? {};
      const target = to === null ? undefined : backends.get(to);
      table.backends[backendAt(backend.row) + BACKEND.moveTo] = target?.leftMs === undefined ? target?.row ?? 0 : 0;
    }
    const { backends: words } = table;
    for (let row = 0; row < BACKEND_ROWS; row++) {
      if (rows.has(row)) continue;
      words[backendAt(row) + BACKEND.flags] = 0;
      words[backendAt(row) + BACKEND.generation] = 0;
    }
    indexBackends(table);
    const mtus = nextHops.devices().flatMap((device) => {
      const arrival = this.#arrival(device);
      return arrival === NO_ARRIVAL ? [] : [{ arrival, mtu: device.mtu }];
    });
    this.#writeRouteMtus(table, nextHops);
    writeArrivals(table.arrivals, mtus, [...backends.values()].map(({ arrival }) => arrival));
    this.#writeLimits(table, rules, backends);
    this.slowStart.begin();
    this.#writeRules(table, [...rules, ...retired], backends, health, holds);
    this.slowStart.end();
  }

  /** How many sessions backends may have: of what several rules say of one, the least. */
  #writeLimits(
    { backends: words }: ForwardTable,
    rules: readonly ForwardRule[],
    known: ReadonlyMap<string, Backend>,
  ): void {
    for (const { row } of known.values()) words[backendAt(row) + BACKEND.maxSessions] = 0;
    for (const { spec } of rules) {
      for (const { name, maxSessions = 0 } of spec.to) {
        const at = backendAt(known.get(name)!.row) + BACKEND.maxSessions;
        if (maxSessions !== 0) words[at] = Math.min(words[at] || maxSessions, maxSessions);
      }
    }
  }

  /** What comes by a device; NO_ARRIVAL where workers do not get it: another interface, or more tags than they read. */
  #arrival(device: FrameDevice): number {
    const { vlan } = device;
    const number = wayOutOf(device, this.interfaces);
    return number < 0 || vlan.length > MAX_VLAN_TAGS ? NO_ARRIVAL : arrivalBy(number, vlan);
  }

  #writeRouteMtus({ routeMtus }: ForwardTable, nextHops: NextHopSource): void {
    const arrivals = new Map(nextHops.devices().map((device) => [device.routeIfindex, this.#arrival(device)]));
    const arrivalBy = (ifindex: number): number => {
      if (ifindex === 0) return NO_ARRIVAL;
      const arrival = arrivals.get(ifindex) ?? NO_ARRIVAL;
      return arrival === NO_ARRIVAL ? NOWHERE : arrival;
    };
    const routes = nextHops.routes().map(({ ifindex, ...route }) => ({ ...route, arrival: arrivalBy(ifindex) }));
    const fit = writeRouteMtus(routeMtus, routes);
    if (!fit && this.#routesFit) {
      log.warn("More than {most} routes have an MTU: MTUs of routes to clients are not looked at", {
        most: MAX_ROUTE_MTUS,
      });
    }
    this.#routesFit = fit;
  }

  #writeBackend({ backends: words }: ForwardTable, backend: Backend, nextHops: NextHopSource): void {
    const { spec, address, row } = backend;
    const nextHop = backend.nextHop = nextHops.lookup(address);
    backend.noRoute = nextHop === undefined ? nextHops.noRoute : undefined;
    if (nextHop !== undefined) {
      backend.source = nextHop.source;
      backend.arrival = this.#arrival(nextHop);
    }
    const at = backendAt(row);
    const bytes = new Uint8Array(words.buffer, words.byteOffset + at * 4);
    const isIpv6 = address.length === 16;
    const reachable = nextHop !== undefined && noWayTo(nextHop, this.interfaces) === null;
    bytes.set(address, BACKEND.address * 4);
    if (backend.source !== undefined) bytes.set(backend.source, BACKEND.source * 4);
    words[at + BACKEND.arrival] = backend.arrival;
    words[at + BACKEND.generation] = backend.generation;
    const hasRange = spec.port === 0 || spec.lastPort !== undefined;
    words[at + BACKEND.port] = hasRange ? 0 : portInPacket(spec.port);
    words[at + BACKEND.firstPort] = spec.port;
    words[at + BACKEND.lastPort] = lastPortOf(spec);
    words[at + BACKEND.flags] = BACKEND_KNOWN | (isIpv6 ? BACKEND_IPV6 : 0) | (hasRange ? BACKEND_RANGE : 0) |
      (reachable ? BACKEND_REACHABLE : 0);
    if (!reachable) return;
    words[at + BACKEND.mtu] = nextHop!.mtu;
    words[at + BACKEND.linkBytes] = keepLink(new DataView(words.buffer, words.byteOffset), (at + BACKEND.link) * 4, {
      destination: nextHop!.mac!,
      source: nextHop!.sourceMac,
      vlan: nextHop!.vlan,
      etherType: isIpv6 ? 0x86dd : 0x0800,
    });
  }

  #writeRules(
    table: ForwardTable,
    rules: readonly ForwardRule[],
    known: ReadonlyMap<string, Backend>,
    health: Health,
    holds: Holds,
  ): void {
    const mayKeep = (name: string): boolean => holds.get(name)?.kind !== "move";
    const { forwardOfRule, forwards, maglev, usable } = table;
    const filled = this.#filled.get(table) ?? new Map<number, string>();
    this.#filled.set(table, filled);
    forwardOfRule.fill(0);
    let entry = 0;
    rules.forEach(({ slot, firstPort, spec }, index) => {
      forwardOfRule[slot] = index + 1;
      const at = forwardAt(index);
      forwards[at + FORWARD.idle] = spec.idleTimeout;
      forwards[at + FORWARD.mode] = modeWord(spec);
      forwards[at + FORWARD.remapPort] = spec.remapPort === null ? 0 : portInPacket(spec.remapPort);
      // Sessions with backends that the rule does not name any more go on while all checks of those succeed, and while
      // there is a route to them.
      for (const backend of known.values()) {
        const mayUse = backend.nextHop !== undefined && allSucceed(backend, health) && mayKeep(backend.spec.name);
        usable[usableAt(index) + backend.row] = mayUse ? 1 : 0;
      }
      let choice = choiceOf(spec);
      for (const isIpv6 of [false, true]) {
        const taking = takingOf(spec, isIpv6, health, holds);
        for (const backend of spec.to) {
          if (!mayServe(spec, backend, isIpv6)) continue;
          const mayUse = (taking.failsOpen || isHealthy(spec, backend, health)) && mayKeep(backend.name);
          usable[usableAt(index) + known.get(backend.name)!.row] = mayUse ? 1 : 0;
        }
        const weights = this.slowStart.weights(`${slot} ${isIpv6}`, taking.backends, spec.slowStart);
        const backends = taking.backends.map(({ name }, place) => {
          const { row } = known.get(name)!;
          if (table.backends[backendAt(row) + BACKEND.maxSessions] !== 0) choice |= CHOICE.bounded;
          return { id: row, name, weight: weights[place]! };
        });
        const size = backends.length === 0 ? 0 : this.tableSize;
        forwards[at + (isIpv6 ? FORWARD.maglev6 : FORWARD.maglev4)] = entry;
        forwards[at + (isIpv6 ? FORWARD.size6 : FORWARD.size4)] = size;
        if (size === 0) continue;
        // Filling takes milliseconds, and neighbours change far more often than backends do.
        const content = JSON.stringify(backends);
        if (filled.get(entry) !== content) fillMaglev(maglev.subarray(entry, entry + size), backends);
        filled.set(entry, content);
        entry += size;
      }
      forwards[at + FORWARD.choice] = choice;
      forwards[at + FORWARD.watched] = spec.passive === undefined ? 0 : 1;
      forwards[at + FORWARD.answers] = spec.answers ?? 0;
      forwards[at + FORWARD.firstPort] = firstPort;
    });
  }
}

function choiceOf({ affinity, answers }: Forward): number {
  return { flow: 0, source: CHOICE.source, none: CHOICE.each }[affinity] | (answers === null ? 0 : CHOICE.answers);
}
