/**
 * Stands between a connection and Node's HTTP parser, and lets in as much as is asked for.
 *
 * Node's server parses all that has come at once, up to 64 KiB: more than 1500 requests of about 10 KiB and 35 µs each.
 * Pausing the socket takes effect only afterwards. A gate hands over small pieces, and none while it is closed.
 *
 * @module
 */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/** Room for about 20 of the shortest requests. */
const PIECE_BYTES = 512;

type Done = (error?: Error | null) => void;

export class Gate extends Duplex {
  #held: Uint8Array = new Uint8Array();
  #peerEnded = false;
  #isWanted = false;

  /** Owns the socket. @param isOpen Whether the parser may have more now; when that changes, call {@linkcode feed}. */
  constructor(private readonly raw: Socket, private readonly isOpen: () => boolean) {
    super({ allowHalfOpen: true, readableHighWaterMark: 1 }); // no second piece before the first is parsed
    raw.on("data", (chunk: Uint8Array) => {
      raw.pause();
      this.#held = chunk;
      this.feed();
    });
    raw.on("end", () => {
      this.#peerEnded = true;
      this.feed();
    });
    raw.on("timeout", () => this.emit("timeout"));
    raw.on("error", (error) => this.destroy(error));
    raw.on("close", () => this.destroy());
  }

  /** Hands over a piece, if one is here, is wanted, and may be had. */
  feed(): void {
    if (!this.#isWanted || this.destroyed || !this.isOpen()) return;
    if (this.#held.length > 0) {
      const piece = this.#held.subarray(0, PIECE_BYTES);
      this.#held = this.#held.subarray(PIECE_BYTES);
      this.#isWanted = false; // before push(), which may ask for the next one
      this.push(piece);
    } else if (this.#peerEnded) this.push(null);
    else this.raw.resume();
  }

  /** What Node's server calls on a socket. The event "timeout" follows. */
  setTimeout(ms: number): this {
    this.raw.setTimeout(ms);
    return this;
  }

  override _read(): void {
    this.#isWanted = true;
    queueMicrotask(() => this.feed()); // a stream reads ahead before it hands over what it has
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.raw.write(chunk, done);
  }

  override _writev(chunks: readonly { readonly chunk: Uint8Array }[], done: Done): void {
    this.raw.cork();
    for (const [index, { chunk }] of chunks.entries()) {
      this.raw.write(chunk, index === chunks.length - 1 ? done : undefined);
    }
    this.raw.uncork();
  }

  override _final(done: Done): void {
    this.raw.destroySoon();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#held = new Uint8Array();
    this.raw.destroy();
    done(error);
  }
}
