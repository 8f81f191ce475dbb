/**
 * Bans sources that send more than the limit of their rule, where it says so.
 *
 * @module
 */
import { type BanMaps, type BanRequest, openBanRequests } from "../bpf/ban_table.ts";
import type { BpfRingBuffer } from "../ffi/libbpf.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import type { Rule } from "../steering/rule.ts";
import type { Bans } from "./bans.ts";

/** Until it is looked at again a source is limited. */
const LOOK_MS = 250;

export interface BanRequestsOptions {
  readonly maps: BanMaps;
  readonly bans: Pick<Bans, "ban">;
  readonly rules: () => readonly Rule[];
  /** The rule that has a limit by its number. */
  readonly ruleOf: (limit: number) => string | undefined;
  readonly timers?: Timers;
}

export class BanRequests implements Disposable {
  readonly #ring: BpfRingBuffer;
  readonly #looking: Disposable;

  constructor(private readonly options: BanRequestsOptions) {
    this.#ring = openBanRequests(options.maps, (request) => this.#take(request));
    this.#looking = (options.timers ?? SYSTEM_TIMERS).every(LOOK_MS, () => this.#ring.consume());
  }

  #take({ limit: number, address }: BanRequest): void {
    const { bans, rules, ruleOf } = this.options;
    const name = ruleOf(number);
    const limit = rules().find((rule) => rule.name === name)?.limit;
    if (name === undefined || limit === undefined || limit.ban === null || limit.mode !== "enforce") return;
    bans.ban(address, address.length === 4 ? limit.ipv4Prefix : limit.ipv6Prefix, name, limit.ban);
  }

  [Symbol.dispose](): void {
    this.#looking[Symbol.dispose]();
    this.#ring[Symbol.dispose]();
  }
}
