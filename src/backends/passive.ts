/**
 * Passive health: what clients' packets meet with at a backend counts against it, without a check of its own.
 *
 * Two things count, each since the backend's last answer to anybody: sessions that have asked in vain, for as long as
 * `within`, and ICMP errors that say that packets do not get there, so many within that time. A backend that answers
 * somebody is alive. The last one of a rule that is left stays in use: packets to it are lost like those to nobody.
 *
 * It comes back when as many active checks in a row as make it healthy have succeeded, or, without an active check,
 * after a pause.
 *
 * @module
 */
import { logger } from "../log.ts";
import type { BackendCounts } from "../steering/backend_counts.ts";
import type { Backend as ConfiguredBackend, Passive } from "../steering/forward.ts";
import { plural } from "../text.ts";
import type { ForwardRule, Forwards, Health } from "./forward_writer.ts";
import { checkOf } from "./health/backend_checks.ts";
import type { BackendHealth } from "./health/checks.ts";

const log = logger("health");

/** Names the passive health of a backend, as a rule wants it, among the keys of checks. */
export function passiveKey({ name }: Pick<ConfiguredBackend, "name">, passive: Passive): string {
  return `${name} passive ${JSON.stringify(passive)}`;
}

interface Watched {
  /** What had come from it, and what spoke against it, when it last answered, or was looked at first. */
  base: Pick<BackendCounts, "from" | "asked" | "unreachable">;
  /** When the first packets were asked in vain since then, and when the first error came. */
  askedMs: number | undefined;
  errorMs: number | undefined;
  out: Out | undefined;
}

/** Of a backend that is out. */
interface Out {
  readonly reason: string;
  readonly since: string;
  readonly untilMs: number;
  /** Of the active check, when it went out or failed last. */
  succeeded: number;
  failed: number;
}

/** What is known of active checks, by key. */
export type ActiveHealth = ReadonlyMap<string, BackendHealth>;

export interface PassiveLook {
  readonly nowMs: number;
  readonly date: Date;
  readonly active: ActiveHealth;
  /** What was counted of the backends in a row. */
  readonly countsOf: (row: number) => Pick<BackendCounts, "from" | "asked" | "unreachable">;
  /** Whether a rule may send new sessions to one of its backends now. */
  readonly isUsable: (rule: ForwardRule, backend: ConfiguredBackend) => boolean;
}

export class PassiveHealth {
  #watched = new Map<string, Watched>();

  /** Those that are out, by {@linkcode passiveKey}. */
  get out(): ReadonlyMap<string, BackendHealth> {
    const found = [...this.#watched].flatMap(([key, { out }]): [string, BackendHealth][] =>
      out === undefined ? [] : [[key, {
        healthy: false,
        passive: true,
        lastMs: null,
        reason: out.reason,
        since: out.since,
        checks: 0,
        failures: 0,
        hindered: null,
        failure: out.reason,
      }]]
    );
    return new Map(found);
  }

  /** Looks at what was counted since the last look. @returns whether somebody went out, or came back. */
  look({ rules, backends }: Pick<Forwards, "rules" | "backends">, look: PassiveLook): boolean {
    const before = this.#watched;
    this.#watched = new Map();
    let changed = false;
    for (const rule of rules) {
      const { passive } = rule.spec;
      if (passive === undefined) continue;
      for (const backend of rule.spec.to) {
        const key = passiveKey(backend, passive);
        if (this.#watched.has(key)) continue; // two rules that want the same
        const counts = look.countsOf(backends.get(backend.name)!.row);
        const watched = before.get(key) ?? fresh(counts);
        this.#watched.set(key, watched);
        changed = (watched.out === undefined
          ? this.#mayGoOut(watched, rule, backend, passive, counts, look)
          : mayComeBack(watched, watched.out, rule, backend, counts, look)) || changed;
      }
    }
    return changed || [...before].some(([key, { out }]) => out !== undefined && !this.#watched.has(key));
  }

  #mayGoOut(
    watched: Watched,
    rule: ForwardRule,
    backend: ConfiguredBackend,
    passive: Passive,
    counts: ReturnType<PassiveLook["countsOf"]>,
    look: PassiveLook,
  ): boolean {
    const { nowMs, date, active } = look;
    if (counts.from !== watched.base.from) Object.assign(watched, fresh(counts));
    const asked = counts.asked - watched.base.asked;
    const errors = passive.unreachable ? counts.unreachable - watched.base.unreachable : 0;
    const withinMs = passive.within * 1000;
    if (asked > 0) watched.askedMs ??= nowMs;
    if (errors > 0) watched.errorMs ??= nowMs;
    const reason = errors >= passive.noAnswer
      ? `${plural(errors, "ICMP error")} (unreachable) about packets to it, and no answer since`
      : asked >= passive.noAnswer && nowMs - watched.askedMs! >= withinMs
      ? `no answer in ${passive.within} s to any of ${plural(asked, "session")}`
      : undefined;
    if (reason === undefined) {
      if (watched.errorMs !== undefined && nowMs - watched.errorMs >= withinMs) {
        watched.errorMs = undefined;
        watched.base = { ...watched.base, unreachable: counts.unreachable };
      }
      return false;
    }
    if (
      !rule.spec.to.some((other) => other !== backend && isSameFamily(other, backend) && look.isUsable(rule, other))
    ) {
      return false;
    }
    const { checks = 0, failures = 0 } = activeOf(rule, backend, active) ?? {};
    const untilMs = nowMs + passive.pause * 1000;
    watched.out = { reason, since: date.toISOString(), untilMs, succeeded: checks - failures, failed: failures };
    log.warn("Backend {backend} is unhealthy: {reason}", { backend: backend.name, reason });
    return true;
  }
}

function fresh({ from, asked, unreachable }: ReturnType<PassiveLook["countsOf"]>): Watched {
  return { base: { from, asked, unreachable }, askedMs: undefined, errorMs: undefined, out: undefined };
}

function mayComeBack(
  watched: Watched,
  out: Out,
  rule: ForwardRule,
  backend: ConfiguredBackend,
  counts: ReturnType<PassiveLook["countsOf"]>,
  { nowMs, active }: PassiveLook,
): boolean {
  const { health } = rule.spec;
  const known = activeOf(rule, backend, active);
  let isBack = nowMs >= out.untilMs;
  if (health !== null && known !== undefined) {
    const succeeded = known.checks - known.failures;
    if (known.failures !== out.failed) Object.assign(out, { succeeded, failed: known.failures });
    isBack = known.healthy && succeeded - out.succeeded >= health.rise;
  }
  if (!isBack) return false;
  Object.assign(watched, fresh(counts));
  log.info("Backend {backend} is used again: {why}", {
    backend: backend.name,
    why: health === null ? "its pause is over" : "its checks succeed",
  });
  return true;
}

function activeOf({ spec }: ForwardRule, backend: ConfiguredBackend, active: ActiveHealth): BackendHealth | undefined {
  return spec.health === null ? undefined : active.get(checkOf(backend, spec.health).key);
}

function isSameFamily(one: ConfiguredBackend, other: ConfiguredBackend): boolean {
  return one.address.includes(":") === other.address.includes(":");
}

/** Whether a backend is not out, as a rule wants it. */
export function isIn(passive: Passive | undefined, backend: Pick<ConfiguredBackend, "name">, health: Health): boolean {
  return passive === undefined || (health.get(passiveKey(backend, passive))?.healthy ?? true);
}
