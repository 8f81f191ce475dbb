/**
 * `/v1/stream` in the thread that has the connections: what the control thread tells (stream_source.ts) is sent to
 * each watcher. A tick is whole in itself, so a watcher who reads slowly is not given more until it has read what it
 * has, and is cut off after some seconds.
 *
 * @module
 */
import type { ServerResponse } from "node:http";
import { HttpError } from "./answers.ts";
import type { StreamEvent, StreamLine, StreamPlace } from "./question.ts";

const MAX_STREAMS = 64;
/** What may wait for a watcher to read it. */
const MAX_WAITING_BYTES = 1 << 18;
/** Ticks in a row that a watcher may miss. */
const MAX_MISSED = 10;
/** Lines of the log that are kept for watchers who read slowly. */
const KEPT_LINES = 200;

/** What a stream is written to. */
export type StreamResponse = Pick<ServerResponse, "destroy" | "end" | "on" | "once" | "writableLength" | "write">;

interface Watcher {
  readonly response: StreamResponse;
  /** Ticks not sent since the last one that was. */
  missed: number;
  /** The last line of the log it was sent. */
  logId: number;
  generation: number;
}

export class StreamFan {
  readonly #watchers = new Set<Watcher>();
  readonly #lines: (StreamLine)[] = [];
  /** Watchers whose beginning is on its way. */
  #opening = 0;
  #config = "";
  #ended = false;

  /** @param onUnwatched Called when the last watcher has left. */
  constructor(private readonly onUnwatched: () => void) {}

  /** Keeps a place for a watcher: {@linkcode add} or {@linkcode giveUp} follows. @throws {HttpError} 503. */
  reserve(): void {
    if (this.#watchers.size + this.#opening >= MAX_STREAMS) {
      throw new HttpError(503, `${MAX_STREAMS} streams are open already`, { "retry-after": "5" });
    }
    this.#opening++;
  }

  giveUp(): void {
    this.#opening--;
    this.#noteLeft();
  }

  /** Takes a watcher that is told `beginning` first. */
  add(response: StreamResponse, beginning: string, { generation, logId }: StreamPlace): void {
    this.#opening--;
    if (this.#ended) return void response.end();
    const watcher = { response, missed: 0, logId, generation };
    response.once("close", () => {
      this.#watchers.delete(watcher);
      this.#noteLeft();
    });
    response.on("error", () => {}); // "close" follows
    this.#watchers.add(watcher);
    response.write(beginning);
  }

  tell(event: StreamEvent): void {
    if (event.kind === "log") this.#line(event);
    else if (event.kind === "tick") this.#tick(event.text, event.generation);
    else this.#config = event.text;
  }

  /** Ends all streams: there will be nothing more. */
  end(): void {
    this.#ended = true;
    for (const { response } of this.#watchers) response.end();
  }

  #noteLeft(): void {
    if (this.#watchers.size > 0 || this.#opening > 0) return;
    this.#lines.length = 0;
    this.onUnwatched();
  }

  #tick(text: string, generation: number): void {
    for (const watcher of this.#watchers) {
      const { response } = watcher;
      if (response.writableLength > MAX_WAITING_BYTES) {
        if (++watcher.missed >= MAX_MISSED) response.destroy();
        continue;
      }
      watcher.missed = 0;
      if (watcher.generation !== generation) {
        watcher.generation = generation;
        response.write(this.#config);
      }
      this.#catchUp(watcher);
      response.write(text);
    }
  }

  #line(line: StreamLine): void {
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    for (const watcher of this.#watchers) {
      if (watcher.response.writableLength <= MAX_WAITING_BYTES) this.#catchUp(watcher); // else when it reads again
    }
  }

  #catchUp(watcher: Watcher): void {
    for (const { id, text } of this.#lines) {
      if (id <= watcher.logId) continue;
      watcher.logId = id;
      watcher.response.write(text);
    }
  }
}
