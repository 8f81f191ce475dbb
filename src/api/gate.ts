/**
 * Stands between a connection and Node's HTTP parser, and lets in as much as is asked for.
 *
 * Node's sockets read into 64 KiB each, and its server parses all that has come at once: more than 1500 requests of
 * about 10 KiB and 35 µs each. A gate reads little, hands over small pieces, and none while it is closed.
 *
 * @module
 */
import { Duplex } from "node:stream";

/** Room for about 5 of the shortest requests. */
const PIECE_BYTES = 256;
/** Read at once. What a client sends beyond stays in the kernel. */
export const READ_BYTES = 4096;
/** An answer's head and body up to so much are one system call. */
const JOINED_BYTES = 16_384;

type Done = (error?: Error | null) => void;

/** Who is at the other end. */
export interface Peer {
  /** -1 where that is not known. */
  readonly uid: number;
  /** Whether the other end is closed, whatever of what it has sent is still to be read. */
  hasLeft(): boolean;
}

/** What a gate needs of a connection. */
export type RawConnection = Pick<Deno.Conn, "read" | "write" | "close"> & {
  /** Of a Unix socket. */
  readonly peer?: Peer;
};

export class Gate extends Duplex {
  #held: Uint8Array = new Uint8Array();
  #peerEnded = false;
  #isWanted = false;
  #isReading = false;
  #movedMs = performance.now();
  #patienceMs = 0;

  /** Owns `raw`. @param isOpen Whether the parser may have more now; when that changes, call {@linkcode feed}. */
  constructor(private readonly raw: RawConnection, private readonly isOpen: () => boolean) {
    super({ allowHalfOpen: true, readableHighWaterMark: 1 }); // no second piece before the first is parsed
  }

  get peer(): Peer {
    return this.raw.peer ?? { uid: -1, hasLeft: () => this.destroyed };
  }

  /** Whether something has come that the parser has not had. */
  get holdsMore(): boolean {
    return this.#held.length > 0;
  }

  /** Hands over a piece, if one is here, is wanted, and may be had. */
  feed(): void {
    if (!this.#isWanted || this.destroyed || !this.isOpen()) return;
    if (this.#held.length > 0) {
      const piece = this.#held.subarray(0, PIECE_BYTES);
      this.#held = this.#held.subarray(PIECE_BYTES);
      this.#isWanted = false; // before push(), which may ask for the next one
      this.push(piece);
    } else if (this.#peerEnded) {
      this.#isWanted = false;
      this.push(null);
    } else if (!this.#isReading) void this.#read();
  }

  /** What Node's server calls on a socket. @param ms Without limit if 0. The event "timeout" follows: see `look`. */
  setTimeout(ms: number): this {
    this.#patienceMs = ms;
    this.#movedMs = performance.now();
    return this;
  }

  /** Emits "timeout" when nothing has moved for too long. To be called now and then. */
  look(nowMs: number): void {
    if (this.#patienceMs === 0 || nowMs - this.#movedMs < this.#patienceMs) return;
    this.#movedMs = nowMs;
    this.emit("timeout");
  }

  override _read(): void {
    this.#isWanted = true;
    queueMicrotask(() => this.feed()); // a stream reads ahead before it hands over what it has
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#writeAll([chunk]).then(() => done(), done);
  }

  override _writev(chunks: readonly { readonly chunk: Uint8Array }[], done: Done): void {
    this.#writeAll(chunks.map(({ chunk }) => chunk)).then(() => done(), done);
  }

  override _final(done: Done): void {
    done();
    this.destroy(); // all is written
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#held = new Uint8Array();
    try {
      this.raw.close();
    } catch {
      // It is closed already.
    }
    done(error);
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    const buffer = new Uint8Array(READ_BYTES); // the parser keeps parts of it
    try {
      const count = await this.raw.read(buffer);
      this.#movedMs = performance.now();
      if (count === null) this.#peerEnded = true;
      else this.#held = buffer.subarray(0, count);
    } catch {
      this.destroy(); // the client has reset it, or it was closed here
    }
    this.#isReading = false;
    this.feed();
  }

  async #writeAll(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of joined(chunks)) {
      for (let at = 0; at < chunk.length;) {
        at += await this.raw.write(chunk.subarray(at));
        this.#movedMs = performance.now();
      }
    }
  }
}

/** One chunk instead of several short ones. */
function joined(chunks: readonly Uint8Array[]): readonly Uint8Array[] {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (chunks.length === 1 || length > JOINED_BYTES) return chunks;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return [whole];
}
