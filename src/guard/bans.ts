/**
 * Sources that are banned: by the operator, or for sending more than a rule's limit. They are in force in the kernel at
 * once, live through changes of the configuration, and are kept for the next start.
 *
 * @module
 */
import type { BanSteering, KernelBan } from "../bpf/ban_table.ts";
import { LIMIT } from "../bpf/layout.gen.ts";
import { addressFault, readAddress } from "../config/addresses.ts";
import { messageOf, SteerError } from "../errors.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { logger } from "../log.ts";
import { formatAddress } from "../packet/address.ts";
import { isWithin, networkOf, type OwnAddresses, parsePrefix, type Prefix } from "../steering/addresses.ts";
import type { RuleBans } from "../steering/rule_guard.ts";
import { plural } from "../text.ts";

/** A ban. Times as in ISO 8601. */
export interface Ban {
  /** An address or a prefix in its shortest spelling. */
  readonly prefix: string;
  /** The rule that it is for; null: all. */
  readonly rule: string | null;
  readonly since: string;
  /** When it is over; null: not by itself. */
  readonly until: string | null;
  /** Who has set it, in words. */
  readonly by: string;
  readonly origin: "operator" | "limit";
  readonly reason: string | null;
}

/** A ban, and how many packets it has dropped since this process has it. */
export interface BanStatus extends Ban {
  readonly packets: number;
}

export interface BanOrder {
  readonly prefix: string;
  readonly rule: string | null;
  readonly seconds: number | null;
  readonly by: string;
  readonly reason: string | null;
  /** Also where it is wide. */
  readonly force: boolean;
}

export interface BansOptions {
  readonly table: BanSteering;
  readonly own: () => OwnAddresses;
  readonly ruleNames: () => readonly string[];
  /** Puts in force which rules have bans. */
  readonly apply: () => Promise<void>;
  /** Is told whenever bans have changed. */
  readonly keep?: (bans: Bans) => void;
  /** Resolves when those that `keep` was told of are on the disk. */
  readonly kept?: () => Promise<void>;
  readonly timers?: Timers;
}

interface Entry extends KernelBan {
  readonly ban: Ban;
  readonly untilMs: number;
}

/** Shorter ones are refused without force. */
const WIDEST = { ipv4: 8, ipv6: 32 } as const;
const LOOK_MS = 1000;
/** Rules that can have bans of their own at a time. */
const MAX_SCOPES = 65_535;
/** So many automatic bans are told one by one each second. */
const MAX_TOLD = 3;

const log = logger("bans");

/** Loopback and unspecified addresses. */
const EVERY_MACHINES = ["127.0.0.0/8", "0.0.0.0/32", "::/127"].map(parsePrefix);

export class Bans implements Disposable {
  readonly #options: BansOptions;
  readonly #timers: Timers;
  /** By rule and prefix. */
  readonly #entries = new Map<string, Entry>();
  /** By rule that has bans: its number, and how many there are. */
  readonly #scopes = new Map<string, { readonly scope: number; count: number }>();
  readonly #sizes = { ipv4: 0, ipv6: 0 };
  #forAll = 0;
  readonly #looking: Disposable;
  /** Those that are over and could not be lifted, which is told. */
  readonly #unlifted = new Set<Entry>();
  #told = 0;
  #untold = 0;
  #refused = 0;

  constructor(options: BansOptions) {
    this.#options = options;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    this.#looking = this.#timers.every(LOOK_MS, () => this.#look());
  }

  /** Which bans a rule's packets are held against. */
  of(rule: string): RuleBans | undefined {
    const scope = this.#scopes.get(rule)?.scope ?? 0;
    return this.#forAll > 0 || scope > 0 ? { forAll: this.#forAll > 0, scope } : undefined;
  }

  /** In the order in which they were set. */
  list(): BanStatus[] {
    return [...this.#entries.values()].map((entry) => ({ ...entry.ban, packets: this.#options.table.packets(entry) }));
  }

  /** As {@linkcode list}, without asking the kernel. */
  all(): Ban[] {
    return [...this.#entries.values()].map(({ ban }) => ban);
  }

  get counts(): Readonly<Record<Ban["origin"], number>> {
    const counts = { operator: 0, limit: 0 };
    for (const { ban } of this.#entries.values()) counts[ban.origin]++;
    return counts;
  }

  /**
   * Bans a prefix, or changes the ban that it has. In force and kept when it returns.
   *
   * @throws {SteerError} for what is no prefix, or must not be banned.
   */
  async add({ rule, seconds, by, reason, force, ...order }: BanOrder): Promise<Ban> {
    const prefix = this.#checked(order.prefix, force);
    const names = this.#options.ruleNames();
    if (rule !== null && !names.includes(rule)) {
      const hint = names.length === 0 ? "there is no rule" : `the rules are ${names.slice(0, 20).join(", ")}`;
      throw new SteerError(`There is no rule "${rule}" to ban a source from`, { hint });
    }
    const now = this.#timers.date();
    const until = seconds === null ? null : new Date(now.getTime() + seconds * 1000).toISOString();
    const ban: Ban = { prefix, rule, since: now.toISOString(), until, by, origin: "operator", reason };
    await this.#put(ban);
    await this.#options.kept?.();
    const { of, to } = wordsOf(ban);
    log.info("{prefix} is banned{of}{to} by {by}{why}", {
      prefix,
      of,
      to,
      by,
      why: reason === null ? "" : `: ${reason}`,
    });
    return ban;
  }

  /** Lifts a ban. @throws {SteerError} where there is none of this prefix. */
  async remove(prefix: string, rule: string | null, by: string): Promise<Ban> {
    const text = readAddress(prefix) ?? prefix;
    const entry = this.#entries.get(idOf(text, rule));
    if (entry === undefined) {
      const others = [...this.#entries.values()].filter(({ ban }) => ban.prefix === text);
      const rules = others.map(({ ban }) => ban.rule === null ? "all rules" : `rule ${ban.rule}`).join(", ");
      const hint = others.length > 0 ? `it is banned from ${rules}` : "xdpsteer ban list shows all bans";
      throw new SteerError(`${text} is not banned${rule === null ? " from all rules" : ` from rule "${rule}"`}`, {
        hint,
      });
    }
    this.#drop(entry);
    await this.#changed();
    await this.#options.kept?.();
    log.info("{prefix} is no longer banned{of}: {by} has lifted it", { prefix: text, of: wordsOf(entry.ban).of, by });
    return entry.ban;
  }

  /** Bans a source that sends more than its rule allows. Where there is no room, it is limited as before. */
  ban(source: Uint8Array, bits: number, rule: string, seconds: number): void {
    const prefix = prefixText(source, bits);
    if (this.#isOwn(parsePrefix(prefix)) || this.#entries.has(idOf(prefix, rule))) return;
    const now = this.#timers.date();
    const until = new Date(now.getTime() + seconds * 1000).toISOString();
    const by = `limit of rule ${rule}`;
    const ban: Ban = { prefix, rule, since: now.toISOString(), until, by, origin: "limit", reason: null };
    this.#put(ban).then(
      () => {
        if (++this.#told <= MAX_TOLD) {
          log.info("{prefix} is banned from rule {rule}{to}: it sends more than its limit", {
            ...{ prefix, rule, to: wordsOf(ban).to },
          });
        } else this.#untold++;
      },
      (error) => {
        if (this.#refused++ === 0) log.warn("A source cannot be banned: {reason}", { reason: messageOf(error) });
      },
    );
  }

  /** Puts those in force that were kept. What cannot be read, or is over, is left out. */
  async restore(kept: readonly Ban[]): Promise<void> {
    let restored = 0;
    for (const ban of kept) {
      if (readAddress(ban.prefix) !== ban.prefix || this.#isOver(endOf(ban))) continue;
      this.#enter(ban);
      restored++;
    }
    if (restored === 0) return;
    await this.#changed();
    log.info(`${plural(restored, "ban")} of before ${restored === 1 ? "is" : "are"} in force again`, {});
  }

  [Symbol.dispose](): void {
    this.#looking[Symbol.dispose]();
  }

  #checked(text: string, force: boolean): string {
    const fault = addressFault(text);
    if (fault !== "") {
      throw new SteerError(`"${text}" ${fault}`, {
        hint: 'expected an address like "203.0.113.7" or a prefix like "2001:db8:7::/48"',
      });
    }
    const prefix = readAddress(text)!;
    const { address, bits } = parsePrefix(prefix);
    const widest = address.length === 4 ? WIDEST.ipv4 : WIDEST.ipv6;
    if (bits < widest && !force) {
      throw new SteerError(`${prefix} is wider than /${widest}: it would ban a large part of the world`, {
        hint: "--force bans it all the same",
      });
    }
    if (this.#isOwn({ address, bits })) {
      throw new SteerError(`${prefix} is an address of this machine, which is never banned`);
    }
    return prefix;
  }

  /** Whether a prefix is one of the machine's own addresses, or of those that each machine has. */
  #isOwn(prefix: Prefix): boolean {
    const { address, bits } = prefix;
    if (EVERY_MACHINES.some((range) => isWithin(prefix, range))) return true;
    if (bits < address.length * 8) return false;
    return this.#options.own().own.some((own) => isWithin({ address: own, bits }, prefix));
  }

  async #put(ban: Ban): Promise<void> {
    const before = this.#entries.get(idOf(ban.prefix, ban.rule));
    if (before !== undefined) this.#entries.set(idOf(ban.prefix, ban.rule), { ...before, ban, untilMs: endOf(ban) });
    else this.#enter(ban);
    await this.#changed();
  }

  #enter(ban: Ban): void {
    const prefix = parsePrefix(ban.prefix);
    const family = prefix.address.length === 4 ? "ipv4" : "ipv6";
    if (this.#sizes[family] >= LIMIT.BANS) {
      throw new SteerError(`There are ${LIMIT.BANS} bans: no more are possible`, {
        hint: "ban prefixes, or deny a list of them in the configuration",
      });
    }
    const scope = this.#scopeOf(ban.rule);
    const entry: Entry = { scope, prefix, ban, untilMs: endOf(ban) };
    this.#options.table.add(entry);
    this.#sizes[family]++;
    this.#entries.set(idOf(ban.prefix, ban.rule), entry);
    if (ban.rule === null) this.#forAll++;
    else this.#scopes.get(ban.rule)!.count++;
  }

  #scopeOf(rule: string | null): number {
    if (rule === null) return 0;
    const known = this.#scopes.get(rule);
    if (known !== undefined) return known.scope;
    const used = new Set([...this.#scopes.values()].map(({ scope }) => scope));
    let scope = 1;
    while (used.has(scope)) scope++;
    if (scope > MAX_SCOPES) throw new SteerError(`${MAX_SCOPES} rules have bans of their own: no more are possible`);
    this.#scopes.set(rule, { scope, count: 0 });
    return scope;
  }

  #drop(entry: Entry): void {
    const { ban: { prefix, rule } } = entry;
    this.#options.table.remove(entry);
    this.#sizes[entry.prefix.address.length === 4 ? "ipv4" : "ipv6"]--;
    this.#entries.delete(idOf(prefix, rule));
    if (rule === null) this.#forAll--;
    else if (--this.#scopes.get(rule)!.count === 0) this.#scopes.delete(rule);
  }

  /** What rules are held against, as it was put in force last; undefined: that failed. */
  #applied: string | undefined = "[false,[]]";

  async #changed(): Promise<void> {
    this.#options.keep?.(this);
    const wanted = JSON.stringify([this.#forAll > 0, [...this.#scopes].map(([rule, { scope }]) => [rule, scope])]);
    if (wanted === this.#applied) return;
    this.#applied = wanted;
    try {
      await this.#options.apply();
    } catch (error) {
      this.#applied = undefined;
      throw error;
    }
  }

  /** Lifts one that is over; where that fails, it is tried again with the next look. */
  #lift(entry: Entry): void {
    const { ban } = entry;
    const values = { prefix: ban.prefix, of: wordsOf(ban).of };
    try {
      this.#drop(entry);
      this.#unlifted.delete(entry);
    } catch (error) {
      if (this.#unlifted.has(entry)) return;
      this.#unlifted.add(entry);
      log.error("The ban of {prefix}{of} is over, and cannot be lifted: {reason}", {
        ...values,
        reason: messageOf(error),
      });
      return;
    }
    if (ban.origin === "operator") log.info("The ban of {prefix}{of} is over", values);
  }

  #isOver(untilMs: number): boolean {
    return untilMs <= this.#timers.date().getTime();
  }

  /** Lifts those that are over, tells what has not been told, and tries again what has failed. */
  #look(): void {
    if (this.#untold > 0) {
      const sources = plural(this.#untold, "more source");
      log.info(`${sources} ${this.#untold === 1 ? "was" : "were"} banned for sending more than the limit`, {});
    }
    this.#told = this.#untold = this.#refused = 0;
    const over = [...this.#entries.values()].filter(({ untilMs }) => this.#isOver(untilMs));
    if (over.length === 0 && this.#applied !== undefined) return;
    for (const entry of over) this.#lift(entry);
    this.#changed().catch((error) => log.error("{reason}", { reason: messageOf(error) }));
  }
}

function idOf(prefix: string, rule: string | null): string {
  return `${prefix} ${rule ?? ""}`;
}

function endOf({ until }: Ban): number {
  return until === null ? Infinity : Date.parse(until);
}

function wordsOf({ rule, until }: Ban): { readonly of: string; readonly to: string } {
  return { of: rule === null ? "" : ` from rule ${rule}`, to: until === null ? "" : ` until ${until}` };
}

/** The network of a source, as a ban of it is written. */
function prefixText(source: Uint8Array, bits: number): string {
  const text = readAddress(`${formatAddress(networkOf(source, bits))}/${bits}`);
  if (text === undefined) throw new RangeError(`no network: ${formatAddress(source)}/${bits}`);
  return text;
}
