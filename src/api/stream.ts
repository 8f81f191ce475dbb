/**
 * `/v1/stream`: what the dashboard shows, as server-sent events. A new watcher gets `hello` (who this is, and the
 * past), `config` and `tick`; then a `tick` each second, `config` when the rules changed, and `log` for each line of
 * the log.
 *
 * Each message is encoded once for all watchers; nothing is encoded while there are none. A tick is whole in itself, so
 * a watcher who reads slowly is not given more until it has read what it has, and is cut off after some seconds.
 *
 * @module
 */
import type { ServerResponse } from "node:http";
import { type LogEvent, onEvent, recentEvents } from "../log.ts";
import { ACTION_TABLE } from "../steering/action.ts";
import { formatPorts } from "../steering/rule.ts";
import { toJson } from "../text.ts";
import { VERSION } from "../version.ts";
import { SAMPLE_MS } from "../observe/history.ts";
import { mostUrgentFirst } from "../observe/backend_words.ts";
import { OUTCOMES } from "../observe/vocabulary.ts";
import { type Answer, HttpError } from "./answers.ts";
import { isReady } from "./health.ts";
import type { HttpOptions } from "./wire.ts";

const MAX_STREAMS = 64;
/** What may wait for a watcher to read it. */
const BUFFER_BYTES_MAX = 1 << 18;
/** Ticks in a row that a watcher may miss. */
const MISSED_MAX = 10;
/** The most urgent ones: a page has room for no more, and a rule may have a thousand backends. */
const PROBLEMS_TOLD = 10;
/** The same of backends. */
const BACKENDS_TOLD = 100;
/** When a watcher that lost the connection comes back. */
const RETRY_MS = 1000;

const HEADERS = { "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" };

/** What a stream is written to. */
export type StreamResponse = Pick<ServerResponse, "destroy" | "end" | "on" | "once" | "writableLength" | "write">;

interface Watcher {
  readonly response: StreamResponse;
  /** Ticks not sent since the last one that was. */
  missed: number;
  /** The last line of the log it was sent. */
  lastLogId: number;
  generation: number;
}

/** One for an appliance, made at the first request. */
export class StreamHub {
  readonly #watchers = new Set<Watcher>();
  #unwatch: (() => void) | undefined;
  #unlisten: (() => void) | undefined;
  #ended = false;
  #hello: { readonly atMs: number; readonly text: string } | undefined;
  #config: { readonly generation: number; readonly text: string } | undefined;

  /** @param now Milliseconds, monotonic. */
  constructor(
    private readonly options: HttpOptions,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** @throws {HttpError} 503 when there are too many watchers, or the appliance stops. */
  open(): Answer & { readonly body: (response: StreamResponse) => void } {
    if (this.#ended) throw new HttpError(503, "xdpsteer is stopping");
    if (this.#watchers.size >= MAX_STREAMS) {
      throw new HttpError(503, `${MAX_STREAMS} streams are open already`, { "retry-after": "5" });
    }
    return { status: 200, headers: HEADERS, body: (response: StreamResponse) => this.#add(response) };
  }

  #add(response: StreamResponse): void {
    if (this.#ended) return void response.end();
    const watcher = { response, missed: 0, lastLogId: 0, generation: this.options.history.generation };
    response.once("close", () => this.#remove(watcher));
    response.on("error", () => {}); // "close" follows
    this.#watchers.add(watcher);
    this.#unwatch ??= this.options.history.watch({ sampled: () => this.#tick(), ended: () => this.#end() });
    this.#unlisten ??= onEvent((event) => this.#log(event));
    response.write(`retry: ${RETRY_MS}\n\n${this.#helloText()}${this.#configText()}`);
    this.#catchUp(watcher);
    response.write(this.#tickText());
  }

  #remove(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    this.#unwatch?.();
    this.#unlisten?.();
    this.#unwatch = this.#unlisten = undefined;
  }

  #tick(): void {
    const tick = this.#tickText();
    for (const watcher of this.#watchers) {
      const { response } = watcher;
      if (response.writableLength > BUFFER_BYTES_MAX) {
        if (++watcher.missed >= MISSED_MAX) response.destroy();
        continue;
      }
      watcher.missed = 0;
      if (watcher.generation !== this.options.history.generation) {
        watcher.generation = this.options.history.generation;
        response.write(this.#configText());
      }
      this.#catchUp(watcher);
      response.write(tick);
    }
  }

  #log(event: LogEvent): void {
    const message = encode("log", event, event.id);
    for (const watcher of this.#watchers) {
      if (watcher.response.writableLength > BUFFER_BYTES_MAX) continue; // told when it reads again
      if (watcher.lastLogId < event.id - 1) {
        this.#catchUp(watcher);
        continue;
      }
      watcher.lastLogId = event.id;
      watcher.response.write(message);
    }
  }

  #catchUp(watcher: Watcher): void {
    for (const event of recentEvents()) {
      if (event.id <= watcher.lastLogId) continue;
      watcher.lastLogId = event.id;
      watcher.response.write(encode("log", event, event.id));
    }
  }

  #end(): void {
    this.#ended = true;
    for (const { response } of this.#watchers) response.end();
  }

  /** The past does not change within a second, however many come to see it. */
  #helloText(): string {
    const { appliance, history, configFile } = this.options;
    if (this.#hello === undefined || this.now() - this.#hello.atMs >= SAMPLE_MS) {
      const text = encode("hello", {
        version: VERSION,
        pid: Deno.pid,
        startedMs: Math.round(performance.timeOrigin),
        configFile,
        intervalMs: SAMPLE_MS,
        reasons: OUTCOMES,
        interfaces: appliance.interfaces.map(({ name, attach, queues }) => ({
          name,
          attach,
          queues: queues.map(({ id, zeroCopy }) => ({ id, zeroCopy })),
        })),
        workers: appliance.workers.counters.map((_, worker) => ({ cpu: appliance.workers.cpus[worker] ?? null })),
        past: history.past(),
      });
      this.#hello = { atMs: this.now(), text };
    }
    return this.#hello.text;
  }

  #configText(): string {
    const { history, reloader } = this.options;
    const { generation } = history;
    if (this.#config?.generation !== generation) {
      const { interfaces, workers, control, log } = reloader.config;
      const rules = history.rules.map(({ name, ports, worker, action }) => ({
        name,
        ports: formatPorts(ports),
        worker,
        action: action.kind,
        ends: ACTION_TABLE[action.kind].ends,
      }));
      this.#config = { generation, text: encode("config", { generation, rules, interfaces, workers, control, log }) };
    }
    return this.#config.text;
  }

  #tickText(): string {
    const { appliance, history, problems, reloader } = this.options;
    const all = problems.list();
    const backends = mostUrgentFirst(appliance.steering.forwarding.status());
    return encode("tick", {
      ...history.latest(),
      generation: history.generation,
      ready: isReady(this.options),
      problems: all.slice(0, PROBLEMS_TOLD),
      problemCount: all.length,
      backends: backends.slice(0, BACKENDS_TOLD),
      backendCount: backends.length,
      lastReload: reloader.last ?? null,
      reloads: reloader.counts,
    });
  }
}

/** JSON has no line breaks outside of its strings, and escapes those inside: one data line. */
function encode(event: string, data: unknown, id?: number): string {
  return `event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${toJson(data)}\n\n`;
}

const hubs = new WeakMap<HttpOptions, StreamHub>();

export function openStream(options: HttpOptions): Answer {
  let hub = hubs.get(options);
  if (hub === undefined) hubs.set(options, hub = new StreamHub(options));
  return hub.open();
}
