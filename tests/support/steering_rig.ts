/**
 * The rules in force over fakes of everything below them, and all that a packet would meet.
 *
 * @module
 */
import { Forwarding, type ForwardingStanding } from "../../src/backends/forwarding.ts";
import type { PortSteering } from "../../src/bpf/port_table.ts";
import type { CaptureChange } from "../../src/capture/captures.ts";
import { parseConfig } from "../../src/config/parse.ts";
import type { Rule } from "../../src/steering/rule.ts";
import { TABLE } from "../../src/dataplane/control_words.ts";
import { ChangeQueue } from "../../src/engine/change_queue.ts";
import { type Applied, Steering } from "../../src/appliance/steering.ts";
import {
  BACKEND,
  BACKEND_KNOWN,
  BACKEND_ROWS,
  backendAt,
  createForwardTables,
  FORWARD,
  forwardAt,
  viewForwardTables,
} from "../../src/steering/forward_table.ts";
import type { KeptMemory } from "../../src/steering/kept_clients.ts";
import { NO_RULE, RuleSlots } from "../../src/steering/slots.ts";
import { createWorkerTables, viewWorkerTables } from "../../src/steering/worker_table.ts";
import { FakeGuard, FakeHealth, FakeNextHops, FakePortTable, FakeWorkers } from "./fake_engine.ts";
import { FakeTimers, quiet } from "./fake_timers.ts";

const TRANSLATION = {
  ports: { first: 61_000, last: 61_999 },
  addresses: [],
  nameServers: [],
  sessions: 1024,
  tableSize: 251,
  arrival: "strict",
} as const;
const RULE_SLOTS = 64;

/** Rules as the configuration has them, from lines as in its section `steering:`. */
export function rulesOf(...lines: readonly string[]): Rule[] {
  const text = [
    "version: 1",
    "interfaces: [{ name: eth0 }]",
    "workers: { count: 2 }",
    "forwarding: { table_size: 251 }",
    `steering: [${lines.join(", ")}]`,
  ];
  return parseConfig(text.join("\n"), { file: "steering.yaml", cpuCount: 2 }).steering;
}

/** A rule that forwards to hosts 10.9.0.N. */
export function forwardRule(name: string, port: number, hosts: readonly number[], more = ""): string {
  const to = JSON.stringify(hosts.map((host) => `10.9.0.${host}:9000`));
  return `{ name: ${name}, ports: ${port}, action: { forward: { to: ${to}${more} } } }`;
}

/** Captures that are begun at once. */
export class FakeCaptures {
  inForce: readonly string[] = [];
  begun: readonly string[] = [];
  failed: readonly string[] = [];
  fails: "prepare" | "flip" | undefined;

  prepare(rules: readonly Rule[]): Promise<CaptureChange> {
    if (this.fails === "prepare") return Promise.reject(new Error("captures are not prepared"));
    const before = this.inForce;
    return Promise.resolve({
      flip: () => {
        if (this.fails === "flip") throw new Error("captures do not flip");
        this.inForce = rules.filter(({ capture }) => capture !== undefined).map(({ name }) => name);
      },
      back: () => this.inForce = before,
      begin: () => Promise.resolve(void (this.begun = this.inForce)),
    });
  }
}

/** The table of sessions whose clients keep their addresses. */
export class FakeKept implements KeptMemory {
  readonly place = { memory: { address: 0x1_2345_6789n, length: 128 }, setMask: 0, key: { low: 1, high: 2 } };
  isEmpty = true;
  /** Of answers that are looked for. */
  ports: readonly number[] = [];
  rule = 0;

  steer(ports: ReadonlySet<number>, rule: number): void {
    this.ports = [...new Set([...this.ports, ...ports])];
    this.rule = rule;
  }

  rest(): void {
    this.ports = [];
  }
}

export class SteeringRig<Ports extends PortSteering = FakePortTable> implements AsyncDisposable {
  readonly workers = new FakeWorkers();
  readonly timers = new FakeTimers();
  readonly queue = new ChangeQueue();
  readonly captures = new FakeCaptures();
  readonly guard = new FakeGuard();
  readonly kept = new FakeKept();
  readonly slots = new RuleSlots(RULE_SLOTS);
  readonly forwarding: Forwarding;
  readonly steering: Steering;
  /** Once a rule forwards. */
  health: FakeHealth | undefined;
  nextHops: FakeNextHops | undefined;
  /** Whether health and next hops cannot be opened. */
  sourcesFail = false;
  retired: readonly number[] = [];
  retirementFails = false;
  readonly #tables = viewWorkerTables(createWorkerTables(RULE_SLOTS));
  readonly #forwardTables = viewForwardTables(createForwardTables(RULE_SLOTS), RULE_SLOTS);

  /** @param before Of a rig that this one takes over from. */
  constructor(readonly portTable: Ports, before?: ForwardingStanding) {
    const { workers, queue, timers } = this;
    this.forwarding = new Forwarding({
      before,
      tables: this.#forwardTables,
      config: TRANSLATION,
      interfaces: ["steer0", "back0"].map((name, index) => ({
        ...{ name, currentName: name, ifindex: 1 + index },
        condition: { state: "attached", why: "" },
      })),
      workers,
      queue,
      timers,
      onChange: () => this.steering.followHealth(),
      openKept: () => Promise.resolve(this.kept),
      sources: () =>
        this.sourcesFail ? Promise.reject(new Error("netlink does not open")) : Promise.resolve({
          health: (onChange) => this.health = new FakeHealth(onChange),
          nextHops: (onChange) => this.nextHops = new FakeNextHops(onChange),
        }),
    });
    this.steering = new Steering({
      portTable,
      guard: this.guard,
      exact: true,
      tables: this.#tables,
      slots: this.slots,
      retirement: (slots) => {
        const before = this.retired;
        return {
          flip: () => {
            if (this.retirementFails) throw new Error("counters cannot be read");
            this.retired = [...before, ...slots];
          },
          back: () => this.retired = before,
        };
      },
      workers,
      queue,
      translation: TRANSLATION,
      forwarding: this.forwarding,
      openCaptures: () => Promise.resolve(this.captures),
      timers,
    });
  }

  /** Puts rules in force, and these addresses of the box to translate to. */
  async translate(addresses: readonly string[], ...lines: readonly string[]): Promise<Applied> {
    const applied = await this.queue.run(() => this.steering.apply(rulesOf(...lines), { addresses }));
    await quiet();
    return applied;
  }

  apply(...lines: readonly string[]): Promise<Applied> {
    return this.queue.run(() => this.steering.apply(rulesOf(...lines)));
  }

  /** As {@linkcode apply}, and waits until the rules of before are forgotten. */
  async change(...lines: readonly string[]): Promise<Applied> {
    const applied = await this.apply(...lines);
    await quiet();
    return applied;
  }

  /** The forward that the table in force has for a rule's slot, as the backends that new flows may go to. */
  backendsOf(rule: string): string[] | undefined {
    const table = this.forwardTable;
    const slot = this.slots.slotOf(rule);
    const forward = slot === undefined ? 0 : table.forwardOfRule[slot]!;
    if (forward === 0) return undefined;
    const at = forwardAt(forward - 1);
    const [first, size] = [table.forwards[at + FORWARD.maglev4]!, table.forwards[at + FORWARD.size4]!];
    const rows = new Set(table.maglev.subarray(first, first + size));
    return [...rows].map((row) => addressOf(table.backends, row)).sort();
  }

  get forwardTable(): ReturnType<typeof viewForwardTables>[number] {
    return this.#forwardTables[this.workers.versions[TABLE.forward]! & 1]!;
  }

  get workerTable(): ReturnType<typeof viewWorkerTables>[number] {
    return this.#tables[this.workers.versions[TABLE.rules]! & 1]!;
  }

  /** All that a packet or an operator could tell the difference by. */
  state(): unknown {
    const { ruleOfPort, actionOfRule, soleOfWorker } = this.workerTable;
    const { forwardOfRule, forwards, backends, index, maglev } = this.forwardTable;
    return structuredClone({
      ports: this.portTable instanceof FakePortTable ? this.portTable.inForce : undefined,
      ruleOfPort: [...ruleOfPort.entries()].filter(([, slot]) => slot !== NO_RULE),
      actionOfRule: [...actionOfRule],
      soleOfWorker: [...soleOfWorker],
      forwardOfRule: [...forwardOfRule],
      forwards: [...forwards],
      backends: knownRows(backends),
      index: [...index].filter((row) => row !== 0),
      maglev: [...maglev.subarray(0, 8 * TRANSLATION.tableSize)],
      checked: this.health?.checked ?? [],
      captures: this.captures.inForce,
      slots: this.slots.entries(),
      retired: this.retired,
      rules: this.steering.rules,
      generation: this.steering.generation,
      passing: this.forwarding.passing,
      // Not since when: that passes.
      status: this.forwarding.status().map(({ drain, ...others }) => ({ ...others, drains: drain?.by })),
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.steering[Symbol.asyncDispose]();
  }
}

function addressOf(backends: Int32Array, row: number): string {
  const at = backendAt(row);
  return [...new Uint8Array(backends.buffer, backends.byteOffset + at * 4, 4)].join(".");
}

function knownRows(backends: Int32Array): number[][] {
  const rows = Array.from(
    { length: BACKEND_ROWS },
    (_, row) => [...backends.subarray(backendAt(row), backendAt(row + 1))],
  );
  return rows.filter((words) => (words[BACKEND.flags]! & BACKEND_KNOWN) !== 0);
}
