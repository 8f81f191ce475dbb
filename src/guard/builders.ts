/**
 * Who builds the lists of sources: this thread where all prefixes stand in the configuration, else a thread that reads
 * files and pages and follows them.
 *
 * @module
 */
import { clearSources, type SourceMaps } from "../bpf/source_maps.ts";
import { SteerError } from "../errors.ts";
import type { SourceList } from "../steering/guard.ts";
import { type BuildOrder, buildSources, prefixCount } from "./build.ts";
import type { ListReport } from "./list_report.ts";
import { type FromLists, LISTS_THREAD, type ToLists } from "./messages.ts";

export interface SourceBuilder extends Disposable {
  /** Builds lists in a place that no packet reads. @throws {SteerError} */
  build(order: BuildOrder): Promise<void>;
  /** Gives the memory of a place back that no packet reads any more. */
  clear(place: number): Promise<void>;
  /** These are the lists in force. */
  keep(lists: readonly SourceList[]): void;
  /** How the lists in force stand. */
  readonly reports: readonly ListReport[];
}

/** Whether any of the lists is to be read from elsewhere. */
export function needsThread(lists: readonly SourceList[]): boolean {
  return lists.some(({ file, url }) => file !== null || url !== null);
}

/** For lists that are all in the configuration, which is a mebibyte at most. */
export class BuilderHere implements SourceBuilder {
  reports: readonly ListReport[] = [];

  constructor(private readonly maps: SourceMaps) {}

  build(order: BuildOrder): Promise<void> {
    return Promise.try(() => void buildSources(this.maps, order, () => []));
  }

  clear(place: number): Promise<void> {
    return Promise.try(() => clearSources(this.maps, place));
  }

  keep(lists: readonly SourceList[]): void {
    const successMs = Date.now();
    this.reports = lists.map(({ name, entries }) => ({
      ...{ name, entries: prefixCount(entries), badLines: 0, firstBad: "", error: "", successMs },
    }));
  }

  [Symbol.dispose](): void {}
}

export interface BuilderThreadOptions {
  /** The module of the process. */
  readonly entry: URL;
  readonly maps: SourceMaps;
  /** Where copies of pages are kept. */
  readonly directory: string;
  /** What was built last is not what the lists hold now. */
  readonly onChange: () => void;
  readonly onReports: (reports: readonly ListReport[]) => void;
}

export class BuilderThread implements SourceBuilder {
  #reports: readonly ListReport[] = [];
  /** Names of lists with a page. */
  #pages: ReadonlySet<string> = new Set();
  readonly #thread: Worker;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  #ready = Promise.withResolvers<void>();
  #failure: SteerError | undefined;
  #ids = 0;

  constructor({ entry, maps, directory, onChange, onReports }: BuilderThreadOptions) {
    this.#ready.promise.catch(() => {}); // told by whoever waits for it
    this.#thread = new Worker(entry, { type: "module", name: LISTS_THREAD });
    this.#thread.onerror = (event) => {
      event.preventDefault();
      this.#fail(`The thread that reads lists has failed: ${event.message}`);
    };
    this.#thread.onmessage = ({ data }: MessageEvent<FromLists>) => {
      if (data.type === "ready") {
        const { sources, ipv4Sources, ipv6Sources } = maps;
        this.#post({ type: "begin", maps: { sources, ipv4Sources, ipv6Sources }, directory });
        this.#ready.resolve();
      } else if (data.type === "changed") onChange();
      else if (data.type === "reports") onReports(this.#reports = data.reports);
      else {
        const { id, error } = data;
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (error === undefined) waiting?.resolve();
        else waiting?.reject(new SteerError(error.message, error.hint === undefined ? {} : { hint: error.hint }));
      }
    };
  }

  build(order: BuildOrder): Promise<void> {
    return this.#ask((id) => ({ type: "build", id, order }));
  }

  clear(place: number): Promise<void> {
    return this.#ask((id) => ({ type: "clear", id, place }));
  }

  keep(lists: readonly SourceList[]): void {
    this.#pages = new Set(lists.filter(({ url }) => url !== null).map(({ name }) => name));
    this.#post({ type: "keep", lists });
  }

  /** A file is looked at all the time: without an error, what was read is what it holds now. */
  get reports(): readonly ListReport[] {
    return this.#reports.map((report) =>
      report.error !== "" || this.#pages.has(report.name) ? report : { ...report, successMs: Date.now() }
    );
  }

  /** True where it has ended: another is to be made. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  async #ask(question: (id: number) => ToLists): Promise<void> {
    await this.#ready.promise;
    if (this.#failure !== undefined) throw this.#failure;
    const id = ++this.#ids;
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(id, waiting);
    this.#post(question(id));
    await waiting.promise;
  }

  #post(message: ToLists): void {
    this.#thread.postMessage(message);
  }

  #fail(message: string): void {
    this.#failure = new SteerError(message);
    this.#ready.reject(this.#failure);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }

  [Symbol.dispose](): void {
    this.#fail("The thread that reads lists was ended");
    this.#thread.terminate();
  }
}
