/**
 * What requests are answered from, without a kernel: an appliance, a history and a reloader that the test moves.
 *
 * @module
 */
import { StreamSource } from "../../src/api/stream_source.ts";
import type { Difference } from "../../src/appliance/difference.ts";
import type { Confirmed } from "../../src/appliance/unconfirmed.ts";
import type { Answering } from "../../src/api/wire.ts";
import {
  type Asker,
  type Conditions,
  type FileState,
  type LastReload,
  type Reloaded,
  StaleError,
} from "../../src/appliance/reload_types.ts";
import { parseConfig, recheck } from "../../src/config/parse.ts";
import type { Config } from "../../src/config/schema.ts";
import { SteerError } from "../../src/errors.ts";
import { History } from "../../src/observe/history.ts";
import type { Listener } from "../../src/host/listeners.ts";
import { Observer } from "../../src/observe/observer.ts";
import { Problems } from "../../src/observe/problems/problems.ts";
import { diffRules } from "../../src/steering/diff.ts";
import type { Rule } from "../../src/steering/rule.ts";
import { FakeAppliance } from "./fake_appliance.ts";
import { FakeSeconds } from "./fake_seconds.ts";
import { FakeTimers } from "./fake_timers.ts";

export const CONFIG_TEXT = `version: 1
interfaces: [{ name: lo }]
workers: { count: 2 }
steering:
  - { name: game, ports: [8080, "27015-27016"], worker: 0 }
  - { name: chat, ports: 9090, worker: 1 }
`;

/** Puts in force what passes the checks, into the fake appliance. */
export class FakeReloader {
  readonly counts = { applied: 0, unchanged: 0, refused: 0 };
  last: LastReload | undefined;
  file: FileState = { refused: null, lastGood: null, settling: null, unconfirmed: null, unsaved: [] };
  config: Config;
  /** What was asked to be saved. */
  readonly saved: boolean[] = [];
  /** What the file is found to hold; an error is thrown. */
  content: string | Error = CONFIG_TEXT;

  constructor(private readonly appliance: FakeAppliance) {
    this.config = this.#parse(CONFIG_TEXT, "steering.yaml");
    appliance.setRules(this.config.steering);
  }

  applyText(text: string | Uint8Array, name: string, conditions?: Conditions): Promise<Reloaded> {
    return this.#apply(() => this.#parse(text, name), conditions);
  }

  reloadFile(_asker: Asker, conditions?: Conditions): Promise<Reloaded> {
    return this.#apply(() => {
      if (this.content instanceof Error) throw this.content;
      return this.#parse(this.content, "steering.yaml");
    }, conditions);
  }

  compare(content: Uint8Array | undefined): Promise<Difference> {
    const next = this.#parse(content ?? this.content as string, "steering.yaml");
    const live = diffRules(this.config.steering, next.steering);
    return Promise.resolve({
      generation: this.appliance.steering.generation,
      live,
      handover: [],
      restart: [],
      warnings: [],
    });
  }

  confirm(): Promise<Confirmed> {
    const { changes } = this.file.unconfirmed!;
    this.file = { ...this.file, unconfirmed: null };
    return Promise.resolve({ changes, saved: false });
  }

  changeRules(
    change: (rules: readonly Rule[]) => Rule[],
    save: boolean,
    conditions?: Conditions,
  ): Promise<Reloaded> {
    this.saved.push(save);
    return this.#apply(() => recheck({ ...this.config, steering: change(this.config.steering) }), conditions);
  }

  #parse(text: string | Uint8Array, file: string): Config {
    return parseConfig(text, { file, cpuCount: 2 });
  }

  // deno-lint-ignore require-await -- what it throws is to be a rejection
  async #apply(next: () => Config, { generations, dryRun }: Conditions = {}): Promise<Reloaded> {
    const { steering } = this.appliance;
    if (generations?.includes(steering.generation) === false) throw new StaleError(steering.generation);
    const config = next();
    const changes = diffRules(steering.rules, config.steering);
    if (dryRun) return { generation: steering.generation, changes, elapsedMs: 0, warnings: [] };
    this.config = config;
    this.counts.applied++;
    this.appliance.setRules(config.steering);
    return { generation: steering.generation, changes, elapsedMs: 1, warnings: [] };
  }
}

/** All that the API is given, over one fake appliance with the rules of {@linkcode CONFIG_TEXT}. */
export class FakeApi implements Answering, Disposable {
  readonly appliance = new FakeAppliance();
  readonly seconds = new FakeSeconds();
  readonly reloader = new FakeReloader(this.appliance);
  readonly observer = new Observer(this.appliance);
  readonly history = new History(this.appliance, this.seconds);
  readonly configFile = "/etc/xdpsteer/steering.yaml";
  readonly timers = new FakeTimers();
  /** What programs of the box listen on. */
  listeners: Listener[] = [];
  readonly problems = new Problems({ ...this, listeners: () => this.listeners }, () => {}, this.timers);
  readonly streams = new StreamSource(this, this.seconds.now);

  [Symbol.dispose](): void {
    this.problems[Symbol.dispose]();
    this.history[Symbol.dispose]();
  }
}

/** A failure that can happen. */
export const REFUSED = new SteerError("The rules cannot be put in force", { hint: "try again" });
