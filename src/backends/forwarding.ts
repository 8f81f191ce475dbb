/**
 * Forwarding, seen from the control thread: keeps the workers' forward table in step with the rules, the backends' health and the
 * kernel's next hops.
 *
 * @module
 */
import type { Config, RuleConfig } from "../config/schema.ts";
import { logger } from "../log.ts";
import { parseAddress } from "../packet/address.ts";
import type { FlowKey } from "../packet/flow_key.ts";
import { keepLink } from "../packet/link_header.ts";
import { portInPacket } from "../packet/udp.ts";
import {
  BACKEND,
  BACKEND_IPV6,
  BACKEND_KNOWN,
  BACKEND_REACHABLE,
  BACKEND_USABLE,
  backendAt,
  FORWARD,
  FORWARD_MODE,
  forwardAt,
  type ForwardTable,
  indexBackends,
  MAX_BACKENDS,
  viewForwardTables,
} from "../steering/forward_table.ts";
import { fillMaglev } from "../steering/maglev.ts";
import type { BackendSpec, ForwardSpec, Rule } from "../steering/rule.ts";
import type { SessionTableOptions } from "../steering/sessions.ts";
import { RuleSlots } from "../steering/slots.ts";
import { checksOf } from "./health/backend_checks.ts";
import type { BackendHealth, HealthChecks } from "./health/checks.ts";
import { warnOfPrograms } from "../host/local_ports.ts";
import type { NextHop, NextHops } from "./next_hop/next_hops.ts";
import type { WorkerPool } from "../engine/workers.ts";

/** Between two looks at neighbours that are missing or not confirmed. */
const PROVOKE_MS = 500;
/** Changes that come together are one. */
const GATHER_MS = 5;

const log = logger("forwarding");

/** What a backend is doing, for status and metrics. */
export interface BackendStatus {
  readonly name: string;
  /** Rules that name it; none: it is only kept for the sessions it has. */
  readonly rules: readonly string[];
  readonly health: BackendHealth | null;
  /** How it is reached; null where there is no way by a steered interface. */
  readonly nextHop: { readonly interface: string; readonly mac: string | null; readonly mtu: number } | null;
}

interface Backend {
  readonly spec: Omit<BackendSpec, "weight">;
  readonly address: Uint8Array;
  /** Differs for each backend that has the row after another. */
  readonly generation: number;
  healthy: boolean;
  nextHop: NextHop | undefined;
}

interface ForwardRule {
  readonly name: string;
  readonly slot: number;
  readonly spec: ForwardSpec;
}

export class Forwarding implements AsyncDisposable {
  readonly #tables: readonly ForwardTable[];
  /** Rows that backends have, by name; as with rules, a row is given to another only long after. */
  readonly #rows = new RuleSlots(MAX_BACKENDS);
  readonly #backends = new Map<number, Backend>();
  #rules: readonly ForwardRule[] = [];
  /** What each of the two has at an entry of its Maglev tables. */
  readonly #filled: readonly Map<number, string>[] = [new Map(), new Map()];
  #passing: ReadonlySet<string> = new Set();
  #generation = 0;
  #writing: Promise<void> = Promise.resolve();
  #pending: ReturnType<typeof setTimeout> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #nextHops: NextHops | undefined;
  #health: HealthChecks | undefined;

  /**
   * @param memory From createForwardTables().
   * @param interfaces Names, in the order in which workers number them.
   */
  constructor(
    memory: SharedArrayBuffer,
    ruleSlots: number,
    private readonly config: Config["forwarding"],
    private readonly interfaces: readonly string[],
    private readonly workers: WorkerPool,
    /** Told the rules that have lost all healthy backends and leave their packets to the kernel stack then, when these change. */
    private readonly onPassing: (rules: ReadonlySet<string>) => void,
  ) {
    this.#tables = viewForwardTables(memory, ruleSlots);
  }

  /** Rules for the translation ports: each worker's share of them is steered to that worker. */
  static answerRules({ ports: { first, last } }: Config["forwarding"], workers: number): Rule[] {
    return Array.from({ length: workers }, (_, worker) => {
      const ports = shareOf(first, last, worker, workers);
      return { name: `(answers ${worker})`, ports: [ports], worker, action: "answer" };
    });
  }

  /** Whether any of these rules needs translation ports. */
  static translates(rules: readonly Rule[]): boolean {
    return rules.some(({ forward }) => forward?.mode === "nat");
  }

  /**
   * Makes new rules known to the workers, which must be before the first packet is steered by them.
   *
   * @param slots Slot of each rule, in the same order.
   */
  async prepare(rules: readonly RuleConfig[], slots: readonly number[]): Promise<void> {
    const forwarding = rules.flatMap(({ name, forward }, index): ForwardRule[] =>
      forward === undefined ? [] : [{ name, slot: slots[index]!, spec: forward }]
    );
    if (forwarding.length === 0 && this.#rules.length === 0) return;
    await this.#open();
    const specs = new Map(forwarding.flatMap(({ spec }) => spec.to).map((spec) => [spec.name, spec]));
    const names = [...specs.keys()];
    const rows = this.#rows.assign(names, ++this.#generation, (row) => this.#backends.delete(row));
    names.forEach((name, index) => {
      const spec = specs.get(name)!;
      const address = parseAddress(spec.address);
      const known = this.#backends.get(rows[index]!);
      this.#backends.set(
        rows[index]!,
        known ?? {
          spec,
          address,
          generation: this.#generation,
          healthy: true,
          nextHop: undefined,
        },
      );
    });
    this.#rules = forwarding;
    this.#health!.set(checksOf(rules));
    const health = this.#health!.status();
    names.forEach((name, index) => this.#backends.get(rows[index]!)!.healthy = health.get(name)?.healthy ?? true);
    await this.#write();
  }

  status(): BackendStatus[] {
    const health = this.#health?.status();
    return [...this.#backends.values()].map(({ spec: { name }, nextHop }) => ({
      name,
      rules: this.#rules.filter(({ spec }) => spec.to.some((backend) => backend.name === name)).map((rule) =>
        rule.name
      ),
      health: health?.get(name) ?? null,
      nextHop: nextHop === undefined ? null : {
        interface: nextHop.interfaceName,
        mac: nextHop.mac === null ? null : formatMac(nextHop.mac),
        mtu: nextHop.mtu,
      },
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#pending);
    clearInterval(this.#timer);
    await this.#writing;
    this.#nextHops?.[Symbol.dispose]();
    await this.#health?.[Symbol.asyncDispose]();
  }

  /** Netlink and health checks begin with the first rule that forwards. */
  async #open(): Promise<void> {
    if (this.#nextHops !== undefined) return;
    const [{ NextHops }, { HealthChecks }] = await Promise.all([
      import("./next_hop/next_hops.ts"),
      import("./health/checks.ts"),
    ]);
    warnOfPrograms(this.config.ports);
    this.#nextHops = NextHops.open({ onChange: () => this.#changed() });
    this.#health = new HealthChecks((name, healthy) => {
      for (const backend of this.#backends.values()) if (backend.spec.name === name) backend.healthy = healthy;
      this.#changed();
    });
    this.#timer = setInterval(() => this.#provoke(), PROVOKE_MS);
  }

  /** Asks the kernel for neighbours that are missing, and keeps those in use confirmed. */
  #provoke(): void {
    for (const { nextHop, address } of this.#backends.values()) {
      if (nextHop !== undefined) this.#nextHops!.provoke(nextHop, address);
    }
  }

  #changed(): void {
    this.#pending ??= setTimeout(() => {
      this.#pending = undefined;
      this.#write().catch((error) => log.error("The workers' forward table is not up to date: {error}", { error }));
    }, GATHER_MS);
  }

  /** Writes what is known into the idle table and puts it in force. One at a time. */
  #write(): Promise<void> {
    const turn = this.#writing.then(() => this.#writeNow());
    this.#writing = turn.catch(() => {});
    return turn;
  }

  async #writeNow(): Promise<void> {
    await this.workers.forwardAcknowledged(); // no worker reads the idle one any more
    const { control } = this.workers;
    const active = control.activeForward;
    const idle = active === 1 ? 1 : 0;
    const table = this.#tables[idle]!;
    for (const [row, backend] of this.#backends) this.#writeBackend(table, row, backend);
    indexBackends(table);
    this.#writeRules(table, this.#filled[idle]!);
    control.activeForward = idle + 1;
    await this.workers.forwardAcknowledged();
    this.#provoke();
    this.#tellPassing();
  }

  #tellPassing(): void {
    const passing = this.#rules.filter(({ spec }) =>
      spec.noneLeft === "pass" && !spec.to.some(({ name }) => this.#isHealthy(name))
    );
    const names = new Set(passing.map(({ name }) => name));
    if (names.symmetricDifference(this.#passing).size === 0) return;
    this.#passing = names;
    this.onPassing(names);
  }

  #isHealthy(name: string): boolean {
    return this.#backends.get(this.#rows.slotOf(name)!)!.healthy;
  }

  #writeBackend({ backends: words }: ForwardTable, row: number, backend: Backend): void {
    const { spec, address, healthy } = backend;
    const nextHop = backend.nextHop = this.#nextHops!.lookup(address);
    const at = backendAt(row);
    const bytes = new Uint8Array(words.buffer, words.byteOffset + at * 4);
    const isIpv6 = address.length === 16;
    const networkInterface = nextHop === undefined ? -1 : this.interfaces.indexOf(nextHop.interfaceName);
    const reachable = nextHop !== undefined && nextHop.mac !== null && nextHop.up && networkInterface >= 0;
    bytes.set(address, BACKEND.address * 4);
    words[at + BACKEND.generation] = backend.generation;
    words[at + BACKEND.port] = portInPacket(spec.port);
    words[at + BACKEND.flags] = BACKEND_KNOWN | (isIpv6 ? BACKEND_IPV6 : 0) | (healthy ? BACKEND_USABLE : 0) |
      (reachable ? BACKEND_REACHABLE : 0);
    if (!reachable) return;
    bytes.set(nextHop.source, BACKEND.source * 4);
    words[at + BACKEND.interface] = networkInterface;
    words[at + BACKEND.mtu] = nextHop.mtu;
    words[at + BACKEND.linkBytes] = keepLink(new DataView(words.buffer, words.byteOffset), (at + BACKEND.link) * 4, {
      destination: nextHop.mac!,
      source: nextHop.sourceMac,
      vlan: nextHop.vlan,
      etherType: isIpv6 ? 0x86dd : 0x0800,
    });
  }

  #writeRules({ forwardOfRule, forwards, maglev }: ForwardTable, filled: Map<number, string>): void {
    forwardOfRule.fill(0);
    const { tableSize } = this.config;
    let entry = 0;
    this.#rules.forEach(({ slot, spec }, index) => {
      forwardOfRule[slot] = index + 1;
      const at = forwardAt(index);
      forwards[at + FORWARD.idle] = spec.idleTimeout;
      forwards[at + FORWARD.mode] = FORWARD_MODE[spec.mode];
      forwards[at + FORWARD.remapPort] = spec.remapPort === null ? 0 : portInPacket(spec.remapPort);
      for (const isIpv6 of [false, true]) {
        const backends = spec.to.flatMap(({ name, weight }) => {
          const row = this.#rows.slotOf(name)!;
          const { healthy, address } = this.#backends.get(row)!;
          return healthy && (address.length === 16) === isIpv6 ? [{ id: row, name, weight }] : [];
        });
        const size = backends.length === 0 ? 0 : tableSize;
        forwards[at + (isIpv6 ? FORWARD.maglev6 : FORWARD.maglev4)] = entry;
        forwards[at + (isIpv6 ? FORWARD.size6 : FORWARD.size4)] = size;
        if (size === 0) continue;
        // Filling takes milliseconds, and neighbours change far more often than backends do.
        const content = JSON.stringify(backends);
        if (filled.get(entry) !== content) fillMaglev(maglev.subarray(entry, entry + size), backends);
        filled.set(entry, content);
        entry += size;
      }
    });
  }
}

/** What a worker makes its session table of. */
export function sessionOptions(
  { ports, sessions }: Config["forwarding"],
  worker: number,
  workers: number,
  key: FlowKey,
  ruleSlots: number,
): SessionTableOptions {
  const { first, last } = shareOf(ports.first, ports.last, worker, workers);
  return { capacity: sessions, firstPort: first, portCount: Math.max(1, last - first + 1), key, ruleSlots };
}

/** A worker's share of the translation ports. */
function shareOf(first: number, last: number, worker: number, workers: number): { first: number; last: number } {
  const count = last - first + 1;
  const from = first + Math.floor(count * worker / workers);
  return { first: from, last: first + Math.floor(count * (worker + 1) / workers) - 1 };
}

function formatMac(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
