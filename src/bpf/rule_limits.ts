/**
 * The kernel's limits of rules: two halves of settings, in force together with those of the port table, and the buckets
 * of sources, for which there is memory while a rule limits its sources.
 *
 * @module
 */
import { syscallError } from "../ffi/errno.ts";
import { closeFd } from "../ffi/libc.ts";
import { createInnerArray, deleteElement, u32, updateElement } from "../ffi/libbpf.ts";
import { MappedMemory } from "../ffi/memory.ts";
import { SteerError } from "../errors.ts";
import { costsOf, type Limit } from "../steering/limit.ts";
import type { PortMap } from "../steering/port_map.ts";
import { LIMIT, RULE_LIMIT, RULE_LIMIT_FLAG, SOURCE_SET, TOTAL } from "./layout.gen.ts";

const LIMITS_BYTES = LIMIT.TABLES * LIMIT.LIMITS * RULE_LIMIT.size;
const TOTALS_BYTES = LIMIT.LIMITS * TOTAL.size;
const ZERO = new Uint8Array(4);

/** The maps of a program that hold limits. */
export interface LimitMaps {
  /** Of the variable `limits`. */
  readonly limits: number;
  /** Of the variable `totals`. */
  readonly totals: number;
  readonly sourceBuckets: number;
}

export class RuleLimits implements Disposable {
  readonly #maps: LimitMaps;
  readonly #memory: MappedMemory;
  readonly #totalMemory: MappedMemory;
  readonly #limits: DataView;
  readonly #totals: Uint8Array;
  readonly #numbers = new LimitNumbers();
  /** By half: whether a rule limits its sources. */
  readonly #limitsSources = new Array<boolean>(LIMIT.TABLES).fill(false);
  #sources: number | undefined;

  constructor(maps: LimitMaps) {
    this.#maps = maps;
    this.#memory = MappedMemory.shared(maps.limits, LIMITS_BYTES, 0, "map limits");
    this.#limits = new DataView(this.#memory.view());
    this.#totalMemory = MappedMemory.shared(maps.totals, TOTALS_BYTES, 0, "map totals");
    this.#totals = new Uint8Array(this.#totalMemory.view());
  }

  /** Of the sources' buckets; undefined while no rule limits its sources. */
  get sourcesFd(): number | undefined {
    return this.#sources;
  }

  /** The rule that a number is of. */
  ruleOf(number: number): string | undefined {
    return this.#numbers.ruleOf(number);
  }

  /**
   * Writes the half that no packet reads.
   *
   * @returns The number of each rule's limit, by its slot.
   * @throws {SteerError} where there are too many limits, or no memory for the sources.
   */
  write(half: number, ports: PortMap): ReadonlyMap<number, number> {
    const limited = new Map<number, { name: string; limit: Limit }>();
    for (const { rule, guard } of ports) {
      if (guard?.limit !== undefined) limited.set(rule, { name: guard.name, limit: guard.limit });
    }
    const fresh = this.#numbers.follow(half, [...limited.values()].map(({ name }) => name));
    for (const number of fresh) this.#totals.fill(0, number * TOTAL.size, (number + 1) * TOTAL.size);
    this.#limitsSources[half] = [...limited.values()].some(({ limit }) => limit.perSource !== null);
    this.#followSources();
    const numbers = new Map<number, number>();
    for (const [slot, { name, limit }] of limited) {
      const { number, identity } = this.#numbers.of(name);
      numbers.set(slot, number);
      writeLimit(this.#limits, (half * LIMIT.LIMITS + number) * RULE_LIMIT.size, limit, identity);
    }
    return numbers;
  }

  #followSources(): void {
    const wanted = this.#limitsSources.includes(true);
    if (wanted === (this.#sources !== undefined)) return;
    if (!wanted) {
      const result = deleteElement(this.#maps.sourceBuckets, ZERO);
      if (result < 0) throw syscallError("bpf_map_delete_elem", -result, "remove the memory of limited sources");
      return this.#closeSources();
    }
    const fd = createInnerArray("steer_sources", SOURCE_SET.size, LIMIT.SOURCE_SETS);
    if (fd < 0) throw syscallError("bpf_map_create", -fd, "get memory for limited sources");
    const result = updateElement(this.#maps.sourceBuckets, ZERO, u32(fd));
    this.#sources = fd;
    if (result < 0) {
      this.#closeSources();
      throw syscallError("bpf_map_update_elem", -result, "set up the memory of limited sources");
    }
  }

  #closeSources(): void {
    if (this.#sources !== undefined) closeFd(this.#sources);
    this.#sources = undefined;
  }

  [Symbol.dispose](): void {
    this.#memory.close();
    this.#totalMemory.close();
    this.#closeSources();
  }
}

/** @param identity Tells the rule's sources from those of rules that had the number before. */
function writeLimit(view: DataView, at: number, limit: Limit, identity: number): void {
  for (const [name, rates] of [["source", limit.perSource], ["total", limit.total]] as const) {
    const { packet, packets, byte, bytes } = costsOf(rates);
    view.setBigUint64(at + RULE_LIMIT[`${name}Packet`], packet, true);
    view.setBigUint64(at + RULE_LIMIT[`${name}Packets`], packets, true);
    view.setBigUint64(at + RULE_LIMIT[`${name}Byte`], byte, true);
    view.setBigUint64(at + RULE_LIMIT[`${name}Bytes`], bytes, true);
  }
  // In the order of a packet's bytes.
  view.setUint32(at + RULE_LIMIT.ipv4Mask, Number(maskOf(32, limit.ipv4Prefix)));
  view.setBigUint64(at + RULE_LIMIT.ipv6Mask, maskOf(64, limit.ipv6Prefix));
  view.setUint32(at + RULE_LIMIT.identity, identity, true);
  const bans = limit.ban !== null && limit.mode === "enforce" ? RULE_LIMIT_FLAG.BAN : 0;
  const observes = limit.mode === "observe" ? RULE_LIMIT_FLAG.OBSERVE : 0;
  view.setUint32(at + RULE_LIMIT.flags, bans | observes, true);
}

function maskOf(bits: number, prefix: number): bigint {
  return BigInt.asUintN(bits, -1n << BigInt(bits - prefix));
}

interface Numbered {
  readonly number: number;
  readonly identity: number;
}

/**
 * A number for each rule with a limit, the same for as long as it has one, so that what has been taken out of its
 * buckets stays taken through every change.
 */
class LimitNumbers {
  readonly #byName = new Map<string, Numbered>();
  readonly #byHalf: ReadonlySet<string>[] = Array.from({ length: LIMIT.TABLES }, () => new Set());
  /** The one that has been free for longest comes first. Number 0 is none. */
  readonly #free = Array.from({ length: LIMIT.LIMITS - 1 }, (_, index) => index + 1);
  #identity = 0;

  of(name: string): Numbered {
    return this.#byName.get(name)!;
  }

  ruleOf(number: number): string | undefined {
    return this.#byName.entries().find(([, numbered]) => numbered.number === number)?.[0];
  }

  /** @returns Numbers of rules that had none. @throws {SteerError} where there are too many. */
  follow(half: number, names: readonly string[]): number[] {
    const wanted = new Set(names);
    const all = this.#byHalf.reduce<ReadonlySet<string>>(
      (set, some, at) => at === half ? set : set.union(some),
      wanted,
    );
    if (all.size >= LIMIT.LIMITS) {
      throw new SteerError(`There are ${all.size} rules with a limit: at most ${LIMIT.LIMITS - 1} are possible`);
    }
    this.#byHalf[half] = wanted;
    for (const [name, { number }] of this.#byName) {
      if (all.has(name)) continue;
      this.#byName.delete(name);
      this.#free.push(number);
    }
    return [...wanted].filter((name) => !this.#byName.has(name)).map((name) => {
      const number = this.#free.shift()!;
      this.#identity = (this.#identity + 1) % 2 ** 30;
      this.#byName.set(name, { number, identity: this.#identity });
      return number;
    });
  }
}
