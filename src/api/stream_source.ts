/**
 * `/v1/stream` on the control thread: what the dashboard shows, as server-sent events. A new watcher gets `hello` (who
 * this is, and the past), `config` and `tick`; then a `tick` each second, `config` when the rules changed, and `log`
 * for each line of the log.
 *
 * Each message is encoded once for all watchers (stream_fan.ts sends it to them); nothing is encoded while there are
 * none.
 *
 * @module
 */
import { type LogEvent, onEvent, recentEvents } from "../log.ts";
import { ACTION_TABLE } from "../steering/action.ts";
import { textOf } from "../steering/addresses.ts";
import { formatPorts } from "../steering/rule.ts";
import { toJson } from "../text.ts";
import { VERSION } from "../version.ts";
import { SAMPLE_MS } from "../observe/history.ts";
import { mostUrgentFirst } from "../observe/backend_words.ts";
import { OUTCOMES } from "../observe/vocabulary.ts";
import { HttpError } from "./answers.ts";
import { isReady } from "./health.ts";
import type { Answer, StreamEvent, StreamLine } from "./question.ts";
import type { HttpOptions } from "./wire.ts";

/** The most urgent ones: a page has room for no more, and a rule may have a thousand backends. */
const PROBLEMS_TOLD = 10;
/** The same of backends. */
const BACKENDS_TOLD = 100;
/** When a watcher that lost the connection comes back. */
const RETRY_MS = 1000;

const HEADERS = { "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" };

/** Gets all that watchers are told after their beginning. */
export interface StreamSink {
  readonly tell: (event: StreamEvent) => void;
  readonly ended: () => void;
}

/** One for an appliance. */
export class StreamSource {
  #sink: StreamSink | undefined;
  #unwatch: (() => void) | undefined;
  #unlisten: (() => void) | undefined;
  #ended = false;
  /** Generation that the sink was told last. */
  #told = 0;
  #hello: { readonly atMs: number; readonly text: string } | undefined;
  #config: { readonly generation: number; readonly text: string } | undefined;

  /** @param now Milliseconds, monotonic. */
  constructor(
    private readonly options: HttpOptions,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Where the events go from now on. The one before gets no more. */
  set sink(sink: StreamSink) {
    this.close();
    this.#sink = sink;
  }

  /**
   * What a new watcher is told first; the sink is told all that follows.
   *
   * @throws {HttpError} 503 when the appliance stops.
   */
  open(): Answer {
    if (this.#ended) throw new HttpError(503, "xdpsteer is stopping");
    this.#unwatch ??= this.options.history.watch({ sampled: () => this.#tick(), ended: () => this.#end() });
    this.#unlisten ??= onEvent((event) => this.#sink?.tell(logEvent(event)));
    const logged = recentEvents();
    const { generation } = this.options.history;
    const config = this.#configText();
    this.#told = generation;
    const body = `retry: ${RETRY_MS}\n\n${this.#helloText()}${config}${
      logged.map((event) => logEvent(event).text).join("")
    }${this.#tickText()}`;
    return { status: 200, headers: HEADERS, body, stream: { generation, logId: logged.at(-1)?.id ?? 0 } };
  }

  /** Encodes no more, until somebody watches again. */
  close(): void {
    this.#unwatch?.();
    this.#unlisten?.();
    this.#unwatch = this.#unlisten = undefined;
  }

  #tick(): void {
    const { generation } = this.options.history;
    if (generation !== this.#told) this.#sink?.tell({ kind: "config", generation, text: this.#configText() });
    this.#told = generation;
    this.#sink?.tell({ kind: "tick", generation, text: this.#tickText() });
  }

  #end(): void {
    this.#ended = true;
    this.#sink?.ended();
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
      const rules = history.rules.map(({ name, ports, addresses, worker, action }) => ({
        name,
        ports: formatPorts(ports),
        addresses: textOf(addresses),
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

function logEvent(event: LogEvent): StreamLine {
  return { kind: "log", id: event.id, text: encode("log", event, event.id) };
}

/** JSON has no line breaks outside of its strings, and escapes those inside: one data line. */
function encode(event: string, data: unknown, id?: number): string {
  return `event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${toJson(data)}\n\n`;
}
