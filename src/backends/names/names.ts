/**
 * Backends that the configuration has by name: follows what the names mean, and says when that has changed.
 *
 * @module
 */
import { readBackend } from "../../config/backend.ts";
import type { Timers } from "../../host/timers.ts";
import { logger } from "../../log.ts";
import type { Backend, BackendName, Forward } from "../../steering/forward.ts";
import { type Ask, Lookups, type Meaning } from "./lookups.ts";

/** A change of rules waits so long for the first answer about a name. */
const FIRST_MS = 2000;

const log = logger("forwarding");

/** A name, and what it means. */
export interface NameStatus {
  readonly name: string;
  /** By name, like `10.0.0.11:9000`. */
  readonly backends: readonly string[];
  /** Why they are not what the server says now: they are what it said last. Null where they are. */
  readonly error: string | null;
  /** When it was last answered with addresses, ISO 8601, UTC; null: never. */
  readonly lastSuccess: string | null;
  /** Seconds until it is asked again. */
  readonly againSeconds: number;
}

interface Followed {
  readonly name: BackendName;
  meaning: Meaning | undefined;
  /** In order, what it means. */
  text: string;
  timer: Disposable | undefined;
  /** Resolves with the first answer, of whatever kind. */
  readonly first: Promise<void>;
}

export interface NamesOptions {
  readonly ask: Ask;
  readonly timers: Timers;
  /** Called when a name means something else. */
  readonly onChange: () => void;
}

export class Names implements Disposable {
  readonly #followed = new Map<string, Followed>();
  readonly #lookups: Lookups;
  #disposed = false;

  constructor(private readonly options: NamesOptions) {
    this.#lookups = new Lookups(options.ask, () => options.timers.now());
  }

  /**
   * Follows the names of rules too. Waits for the first answers about new ones, but not for long.
   *
   * @param patienceMs For how long.
   */
  async follow(specs: readonly Forward[], patienceMs: number = FIRST_MS): Promise<void> {
    const names = specs.flatMap(({ names }) => names);
    const added = names.filter((name) => !this.#followed.has(keyOf(name)));
    for (const name of added) if (!this.#followed.has(keyOf(name))) this.#begin(name);
    if (added.length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    using _limit = this.options.timers.after(patienceMs, resolve);
    await Promise.race([promise, Promise.all(added.map((name) => this.#followed.get(keyOf(name))?.first))]);
  }

  /** Follows no names but those of these rules. */
  retain(specs: readonly Forward[]): void {
    const kept = new Set(specs.flatMap(({ names }) => names).map(keyOf));
    for (const [key, followed] of this.#followed) {
      if (kept.has(key)) continue;
      followed.timer?.[Symbol.dispose]();
      this.#followed.delete(key);
    }
    this.#lookups.retain(new Set([...this.#followed.values()].flatMap(({ name }) => this.#lookups.hostsOf(name))));
  }

  /** A rule with what its names mean now, each backend once: what it lists itself comes first. */
  expand<Spec extends Forward>(spec: Spec): Spec {
    if (spec.names.length === 0) return spec;
    const backends = new Map<string, Backend>(spec.to.map((backend) => [backend.name, backend]));
    for (const name of spec.names) {
      for (const backend of this.#followed.get(keyOf(name))?.meaning?.backends ?? []) {
        if (!backends.has(backend.name)) backends.set(backend.name, backend);
      }
    }
    return { ...spec, to: [...backends.values()] };
  }

  status(): NameStatus[] {
    const { timers } = this.options;
    const ago = (ms: number): string => new Date(timers.date().getTime() - (timers.now() - ms)).toISOString();
    const known = new Map<string, NameStatus>();
    for (const { name: { name }, meaning } of this.#followed.values()) {
      known.set(name, {
        name,
        backends: meaning?.backends.map((backend) => backend.name) ?? [],
        error: meaning === undefined ? "it has not been answered yet" : meaning.error,
        lastSuccess: meaning?.goodMs === undefined ? null : ago(meaning.goodMs),
        againSeconds: meaning === undefined ? 0 : Math.max(0, Math.ceil((meaning.dueMs - timers.now()) / 1000)),
      });
    }
    return [...known.values()];
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const { timer } of this.#followed.values()) timer?.[Symbol.dispose]();
    this.#followed.clear();
  }

  #begin(name: BackendName): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    const followed: Followed = { name, meaning: undefined, text: "", timer: undefined, first: promise };
    this.#followed.set(keyOf(name), followed);
    void this.#look(followed).then(resolve);
  }

  async #look(followed: Followed): Promise<void> {
    const { name } = followed;
    const found = normal(await this.#lookups.look(name));
    const meaning = keptFrom(followed.meaning, found);
    if (this.#disposed || this.#followed.get(keyOf(name)) !== followed) return;
    const isFirst = followed.meaning === undefined;
    const text = JSON.stringify(meaning.backends);
    followed.meaning = meaning;
    const waitMs = Math.max(1, meaning.dueMs - this.options.timers.now());
    followed.timer = this.options.timers.after(waitMs, () => void this.#look(followed));
    if (text === followed.text) return;
    followed.text = text;
    if (isFirst && meaning.backends.length === 0) return;
    log.info("{name} means {backends}", {
      name: name.name,
      backends: meaning.backends.map((backend) => backend.name).join(" ") || "nothing",
    });
    this.options.onChange();
  }
}

/** Rules may have a name with different settings. */
function keyOf(name: BackendName): string {
  return JSON.stringify(name);
}

/** What a name means after an answer: none takes away all that it meant, as one with new targets of an SRV record. */
function keptFrom(before: Meaning | undefined, found: Meaning): Meaning {
  if (before === undefined || before.backends.length === 0 || found.backends.length > 0) return found;
  const error = found.error ?? "its SRV records name no target";
  return { ...found, backends: before.backends, error, goodMs: before.goodMs };
}

/**
 * One spelling of each address, in one order: it decides what a Maglev table looks like, on every box.
 */
function normal(meaning: Meaning): Meaning {
  const backends = new Map(meaning.backends.flatMap((backend) => {
    const read = readBackend(backend.name);
    return read === undefined ? [] : [[read.name, { ...backend, ...read }] as const];
  }));
  return { ...meaning, backends: [...backends.values()].sort((one, other) => one.name < other.name ? -1 : 1) };
}
