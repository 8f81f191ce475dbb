/**
 * Backends that see their clients' own addresses (`source: client`): what the workers and the XDP program have to know
 * to find their answers.
 *
 * @module
 */
import { BACKEND, BACKEND_KEEPS, backendAt, type ForwardTable, KEPT } from "../steering/forward_table.ts";
import type { KeptMemory } from "../steering/kept_clients.ts";
import { type PortRange, rangeText } from "../steering/rule.ts";
import { type ForwardRule, type Forwards, lastPortOf } from "./forward_writer.ts";

/** Between two looks at whether a session is left. */
const LOOK_MS = 10_000;

export class KeptBackends {
  /** Names of backends that keep their clients' addresses, or did while they had the row that they have. */
  #names: ReadonlySet<string>;
  #memory: KeptMemory | undefined;
  #lookedMs = 0;

  /**
   * @param open Called when the first rule wants it.
   * @param before What {@linkcode standing} was in the process before.
   */
  constructor(private readonly open: () => Promise<KeptMemory>, before: readonly string[] = []) {
    this.#names = new Set(before);
  }

  /** For a process that comes after this one. */
  get standing(): readonly string[] {
    return [...this.#names];
  }

  /** Adds to a forward table what it needs, before it is in force. @throws {SteerError} where there is no memory. */
  async write(table: ForwardTable, { rules, retired, backends, answers }: Forwards): Promise<void> {
    const names = [...rules, ...retired].filter(keepsClients).flatMap(({ spec: { to } }) => to.map(({ name }) => name));
    this.#names = new Set([...this.#names, ...names].filter((name) => backends.has(name)));
    if (this.#names.size > 0) this.#memory ??= await this.open();
    if (this.#memory === undefined) return;
    const { backends: words, kept } = table;
    // Backends mostly have the same, and one without a port of its own may answer from any.
    const ranges = new Map<string, PortRange>();
    for (const name of this.#names) {
      const { row, spec } = backends.get(name)!;
      const at = backendAt(row) + BACKEND.flags;
      words[at] = words[at]! | BACKEND_KEEPS;
      const range = { first: spec.port, last: lastPortOf(spec) };
      ranges.set(rangeText(range), range);
    }
    const ports = new Set<number>();
    for (const { first, last } of ranges.values()) for (let port = first; port <= last; port++) ports.add(port);
    const { memory: { address }, setMask, key } = this.#memory.place;
    kept[KEPT.addressLow] = Number(address & 0xffffffffn);
    kept[KEPT.addressHigh] = Number(address >> 32n);
    kept[KEPT.setMask] = setMask;
    kept[KEPT.keyLow] = key.low;
    kept[KEPT.keyHigh] = key.high;
    kept[KEPT.rule] = answers;
    if (ports.size > 0) this.#memory.steer(ports, answers);
  }

  /** Whether it is time to {@linkcode settle}. @param nowMs Of any clock that only goes forward. */
  isDue({ rules, retired }: Forwards, nowMs: number): boolean {
    if (this.#names.size === 0 || [...rules, ...retired].some(keepsClients) || nowMs - this.#lookedMs < LOOK_MS) {
      return false;
    }
    this.#lookedMs = nowMs;
    return true;
  }

  /** Has no answers looked for any more once no session is left. In a turn of the queue. */
  settle({ rules, retired }: Forwards): void {
    if ([...rules, ...retired].some(keepsClients) || this.#memory?.isEmpty === false) return;
    this.#memory?.rest();
    this.#names = new Set();
  }
}

function keepsClients({ spec: { source } }: ForwardRule): boolean {
  return source === "client";
}
