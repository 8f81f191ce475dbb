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

/** Bytes of a request that are thrown away after its answer, and the time for that. */
const DISCARDED_BYTES = 2 << 20;
const DISCARD_MS = 1000;
const DISCARD_AT_ONCE = 65_536;

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
  #isDiscarding = false;
  /** Bytes that have come. */
  received = 0;
  /**
   * Of what the client still sends when all answers are written, nothing is parsed, and it is thrown away for a moment
   * before the connection is closed: else the kernel would take the answer back.
   */
  mayHaveRest = false;

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

  /** Whether the client has the word, and says nothing. */
  get waits(): boolean {
    return this.#isReading;
  }

  /** Hands over a piece, if one is here, is wanted, and may be had. */
  feed(): void {
    if (!this.#isWanted || this.destroyed || this.#isDiscarding || !this.isOpen()) return;
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

  /** It is not the client for whom is waited. */
  excuse(nowMs: number): void {
    this.#movedMs = nowMs;
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
    done(); // all is written
    if (this.mayHaveRest && !this.#peerEnded) this.#discard();
    else this.destroy();
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
      else {
        this.received += count;
        this.#held = buffer.subarray(0, count);
      }
    } catch {
      this.destroy(); // the client has reset it, or it was closed here
    }
    this.#isReading = false;
    if (this.#isDiscarding) void this.#readRest();
    else this.feed();
  }

  #discard(): void {
    this.#isDiscarding = true;
    this.#held = new Uint8Array();
    const late = setTimeout(() => this.destroy(), DISCARD_MS);
    this.once("close", () => clearTimeout(late));
    if (!this.#isReading) void this.#readRest();
  }

  async #readRest(): Promise<void> {
    const buffer = new Uint8Array(DISCARD_AT_ONCE);
    try {
      for (let left = DISCARDED_BYTES; left > 0;) left -= await this.raw.read(buffer) ?? left;
    } catch {
      // The client has reset it, or it was closed here.
    }
    this.destroy();
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
