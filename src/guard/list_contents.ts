/**
 * The contents of lists that come from files and pages: read when they are first used, and followed from then on.
 *
 * What cannot be read, or is not to be taken, changes nothing: what was read before stays, and the report says why.
 *
 * @module
 */
import { messageOf } from "../errors.ts";
import { FileWatch } from "../host/watch.ts";
import { SYSTEM_TIMERS, type Timers } from "../host/timers.ts";
import { release as releaseArrays } from "../steering/doubled.ts";
import type { SourceList } from "../steering/guard.ts";
import type { PrefixSet } from "../steering/prefix_set.ts";
import { prefixCount } from "./build.ts";
import { type ListReport, sameReport } from "./list_report.ts";
import { EMPTY_LIST, listFault, type ListText, readListFile, readListText } from "./list_text.ts";
import { type Fetched, PageCopy, readListPage } from "./page.ts";

const RETRY_SECONDS = 60;

export interface ListContentsOptions {
  /** Where copies of pages are kept. */
  readonly directory: string;
  /** A list has other prefixes than before. */
  readonly onChange: () => void;
  /** Something else is known of one. */
  readonly onReport: () => void;
  readonly timers?: Timers;
}

export class ListContents {
  readonly #options: ListContentsOptions;
  readonly #lists = new Map<string, FollowedList>();

  constructor(options: ListContentsOptions) {
    this.#options = options;
  }

  /** Reads those that are new. Resolves when each has what its file and the copy of its page have. */
  async open(lists: readonly SourceList[]): Promise<void> {
    for (const list of lists) {
      const key = keyOf(list);
      if (!this.#lists.has(key)) this.#lists.set(key, new FollowedList(list, this.#options));
    }
    await Promise.all(lists.map((list) => this.#lists.get(keyOf(list))!.opened));
  }

  /** Forgets all but these. */
  keep(lists: readonly SourceList[]): void {
    const kept = new Set(lists.map(keyOf));
    for (const [key, list] of this.#lists) {
      if (kept.has(key)) continue;
      list[Symbol.dispose]();
      this.#lists.delete(key);
    }
  }

  /** What a list that is open has besides its entries. */
  of(list: SourceList): readonly PrefixSet[] {
    return this.#lists.get(keyOf(list))?.sets ?? [];
  }

  reports(lists: readonly SourceList[]): readonly ListReport[] {
    return lists.flatMap((list) => this.#lists.get(keyOf(list))?.report ?? []);
  }
}

/** What of a list says what it holds. */
function keyOf(list: SourceList): string {
  return JSON.stringify(list);
}

/** What is known of a file or a page. */
interface Content {
  readonly text: ListText;
  /** As in a {@linkcode ListReport}. */
  readonly error: string;
  readonly atMs: number | null;
}

const UNREAD: Content = { text: EMPTY_LIST, error: "", atMs: null };

/** A list with a file, a page, both or none. */
class FollowedList implements Disposable {
  readonly opened: Promise<void>;
  readonly #list: SourceList;
  readonly #options: ListContentsOptions;
  readonly #timers: Timers;
  readonly #own: number;
  readonly #stop = new AbortController();
  #file = UNREAD;
  #page = UNREAD;
  #watch: Disposable | undefined;
  #next: Disposable | undefined;
  #signature = "";
  #tag: Fetched["tag"];
  #reading: Promise<void> = Promise.resolve();
  #told: ListReport;

  constructor(list: SourceList, options: ListContentsOptions) {
    this.#list = list;
    this.#options = options;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    this.#own = prefixCount(list.entries);
    this.#told = this.report;
    this.opened = this.#open();
  }

  get sets(): readonly PrefixSet[] {
    return [this.#file.text.set, this.#page.text.set];
  }

  get report(): ListReport {
    const { name, file, url } = this.#list;
    const [one, other] = [this.#file, this.#page];
    const times = [...file === null ? [] : [one.atMs], ...url === null ? [] : [other.atMs]];
    return {
      name,
      entries: this.#own + one.text.set.size + other.text.set.size,
      badLines: one.text.badLines + other.text.badLines,
      firstBad: one.text.firstBad || other.text.firstBad,
      error: [one.error, other.error].filter((text) => text !== "").join("; "),
      successMs: times.includes(null) ? null : Math.min(...times as number[], this.#timers.date().getTime()),
    };
  }

  async #open(): Promise<void> {
    const { file, url } = this.#list;
    if (file !== null) {
      this.#watch = new FileWatch(file, () => void this.#look(), this.#timers);
      await this.#look();
    }
    if (url !== null) {
      const copy = this.#copy().read();
      if (copy !== undefined) {
        const text = readListText(copy.bytes, { ...this.#list, onBadLine: "skip" });
        this.#page = { text: await text.catch(() => EMPTY_LIST), error: "", atMs: copy.atMs };
      }
      void this.#fetch();
    }
  }

  /** Reads the file again, if it is not the one that was read. One after the other. */
  #look(): Promise<void> {
    return this.#reading = this.#reading.then(() => this.#read(this.#list.file!));
  }

  async #read(path: string): Promise<void> {
    const signature = signatureOf(path);
    if (signature === this.#signature || this.#stop.signal.aborted) return;
    const before = this.#file;
    try {
      const text = await readListFile(path, this.#list);
      if (signatureOf(path) !== signature) return; // it is being written: the watch calls again
      this.#file = { text, error: "", atMs: this.#timers.date().getTime() };
      release(before.text);
    } catch (error) {
      this.#file = { ...before, error: messageOf(error) };
    }
    this.#signature = signature;
    this.#tell(this.#file.text !== before.text);
  }

  async #fetch(): Promise<void> {
    const { interval, url } = this.#list;
    const before = this.#page;
    let seconds = interval;
    try {
      const options = { tag: this.#tag, signal: this.#stop.signal };
      const { fetched, text } = await readListPage(url!, this.#list, options);
      if (this.#stop.signal.aborted) return;
      this.#tag = fetched.tag;
      this.#page = { text: text ?? before.text, error: "", atMs: this.#timers.date().getTime() };
      if (text !== undefined) release(before.text);
      if (fetched.bytes !== undefined) {
        this.#copy().write(fetched.bytes);
        releaseArrays(fetched.bytes);
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#page = { ...before, error: `${url} ${listFault(error)}` };
      seconds = Math.min(interval, RETRY_SECONDS);
    }
    this.#next = this.#timers.after(seconds * 1000, () => void this.#fetch());
    this.#tell(this.#page.text !== before.text);
  }

  #copy(): PageCopy {
    return new PageCopy(this.#options.directory, this.#list.name, this.#list.url!);
  }

  #tell(isChanged: boolean): void {
    const { report } = this;
    if (isChanged) this.#options.onChange();
    if (sameReport(report, this.#told) && report.successMs === this.#told.successMs) return;
    this.#told = report;
    this.#options.onReport();
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#watch?.[Symbol.dispose]();
    this.#next?.[Symbol.dispose]();
    for (const { text } of [this.#file, this.#page]) release(text);
    this.#file = this.#page = UNREAD;
  }
}

/** Gives the memory of what a file or page held back. Builds are over when this is called: they do not wait. */
function release({ set }: ListText): void {
  if (set !== EMPTY_LIST.set) set.release();
}

/** Differs when the file, or what its name leads to, has changed. */
function signatureOf(path: string): string {
  try {
    const { dev, ino, size, mtime, ctime } = Deno.statSync(path);
    return [dev, ino, size, mtime?.getTime(), ctime?.getTime()].join(" ");
  } catch {
    return "none";
  }
}
