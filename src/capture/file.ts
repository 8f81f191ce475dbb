/**
 * One capture on disk: a pcapng file that is appended to, finished and followed by the next. Writing waits for the
 * disk, so this belongs to a thread of its own.
 *
 * @module
 */
import { wallClockOffset } from "../ffi/clock.ts";
import type { CaptureRingReader } from "../dataplane/capture_ring.ts";
import {
  DIRECTION,
  interfaceDescription,
  interfaceStatistics,
  type Moment,
  PACKET_AT,
  packetBlockBytes,
  sectionHeader,
  STATISTICS_BYTES,
  writePacketBlock,
} from "../packet/pcapng.ts";
import type { FileOrder, PortPlace } from "./messages.ts";
import { holdPlace, makeRoom } from "./names.ts";

const BUFFER_BYTES = 256 * 1024;
/** Whoever reads the file while it grows sees packets at most so late. */
const FLUSH_MS = 250;
const NANOSECONDS = 1_000_000_000;

export interface CaptureContext {
  readonly interfaces: readonly string[];
  readonly about: Parameters<typeof sectionHeader>[0];
  /** Packets of this capture that an interface's workers have dropped since the capture began. */
  readonly dropped: (networkInterface: number) => number;
  /** Told packets that have got into the file, and those that will never. */
  readonly onWritten: (packets: number) => void;
  readonly onLost: (packets: number) => void;
  /** Told once, when nothing more can be written. */
  readonly onFailure: (error: unknown) => void;
}

export class CaptureFile {
  readonly #order: FileOrder;
  readonly #context: CaptureContext;
  readonly #bytes = new Uint8Array(BUFFER_BYTES);
  readonly #words = new Int32Array(this.#bytes.buffer);
  readonly #view = new DataView(this.#bytes.buffer);
  #file: Deno.FsFile | undefined;
  /** Bytes in the buffer, and packets among them. */
  #buffered = 0;
  #pending = 0;
  /** Bytes in the file. */
  #size = 0;
  /** Packets of the file, those in the buffer included, by interface. */
  #packets: number[] = [];
  #droppedBefore: readonly number[] = [];
  #started: Moment = { seconds: 0, nanoseconds: 0 };
  #startedMs = 0;
  #flushedMs = 0;
  #offset: Moment = { seconds: 0, nanoseconds: 0 };

  constructor(order: FileOrder, context: CaptureContext) {
    this.#order = order;
    this.#context = context;
    this.#droppedBefore = context.interfaces.map(() => 0);
    this.#guard(() => this.#open());
  }

  /** Adds the packet that `reader` has just taken. */
  append(reader: CaptureRingReader, { networkInterface, queue }: PortPlace): void {
    const { captured } = reader;
    const bytes = packetBlockBytes(captured);
    if (this.#file === undefined) return this.#context.onLost(1);
    const end = this.#size + this.#buffered + bytes + STATISTICS_BYTES * this.#packets.length;
    if (end > this.#order.rotate.size && this.#hasPackets) this.#rotate();
    if (this.#buffered + bytes > BUFFER_BYTES) this.#flush();
    if (this.#file === undefined) return this.#context.onLost(1);
    const at = this.#buffered;
    const { seconds, nanoseconds } = this.#wall(reader.seconds, reader.nanoseconds);
    reader.copyTo(this.#words, (at + PACKET_AT) >> 2);
    this.#buffered += writePacketBlock(
      this.#view,
      at,
      networkInterface,
      queue,
      DIRECTION.in,
      seconds,
      nanoseconds,
      captured,
      reader.length,
    );
    this.#packets[networkInterface] = this.#packets[networkInterface]! + 1;
    this.#pending++;
  }

  /** Does what is due: gives the disk what has waited long enough, and begins a new file when this one is old. */
  tick(nowMs: number): void {
    if (this.#file === undefined) return;
    const { seconds } = this.#order.rotate;
    if (seconds !== null && nowMs - this.#startedMs >= seconds * 1000) {
      if (this.#hasPackets) this.#rotate();
      else this.#startedMs = nowMs;
    }
    if (this.#buffered > 0 && nowMs - this.#flushedMs >= FLUSH_MS) this.#flush();
  }

  /** Writes everything, and closes. */
  finish(): void {
    this.#guard(() => this.#finish());
  }

  get #hasPackets(): boolean {
    return this.#packets.some((packets) => packets > 0);
  }

  /** Runs what may fail on the disk. After a failure nothing more is written. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#giveUp();
      this.#context.onFailure(error);
    }
  }

  #giveUp(): void {
    this.#context.onLost(this.#pending);
    this.#pending = 0;
    this.#buffered = 0;
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    try {
      file.truncateSync(this.#size); // half a block would make the file hard to read
    } catch {
      // Nothing more can be done for it.
    }
    file.close();
  }

  #rotate(): void {
    this.#guard(() => {
      this.#finish();
      this.#open();
    });
  }

  #open(): void {
    const { directory, path, rotate: { keep }, snap } = this.#order;
    const { about, interfaces } = this.#context;
    {
      using place = holdPlace(directory, path);
      makeRoom(place, keep);
      const file = place.at(place.name);
      this.#file = Deno.openSync(file, { write: true, createNew: true, mode: 0o600 }); // which follows no link
    }
    this.#size = 0;
    this.#packets = interfaces.map(() => 0);
    const offset = wallClockOffset();
    const nanoseconds = BigInt(NANOSECONDS);
    this.#offset = { seconds: Number(offset / nanoseconds), nanoseconds: Number(offset % nanoseconds) };
    this.#startedMs = performance.now();
    this.#started = now();
    for (const block of [sectionHeader(about), ...interfaces.map((name) => interfaceDescription(name, snap))]) {
      this.#add(block);
    }
    this.#write();
  }

  #finish(): void {
    if (this.#file === undefined) return;
    const end = now();
    const dropped = this.#packets.map((_, index) => this.#context.dropped(index));
    this.#packets.forEach((written, index) => {
      const lost = dropped[index]! - this.#droppedBefore[index]!;
      this.#add(interfaceStatistics(index, { start: this.#started, end, dropped: lost, written }));
    });
    this.#write();
    this.#droppedBefore = dropped;
    this.#file.close();
    this.#file = undefined;
  }

  /** Puts a block other than a packet's in the buffer. */
  #add(block: Uint8Array): void {
    if (this.#buffered + block.length > BUFFER_BYTES) this.#write();
    this.#bytes.set(block, this.#buffered);
    this.#buffered += block.length;
  }

  #flush(): void {
    this.#guard(() => this.#write());
  }

  #write(): void {
    const file = this.#file;
    if (file === undefined) return;
    for (let at = 0; at < this.#buffered;) at += file.writeSync(this.#bytes.subarray(at, this.#buffered));
    this.#size += this.#buffered;
    this.#buffered = 0;
    this.#flushedMs = performance.now();
    this.#context.onWritten(this.#pending);
    this.#pending = 0;
  }

  /** A time of CLOCK_MONOTONIC as one since 1970. The wall clock was looked at when the file began. */
  #wall(seconds: number, nanoseconds: number): Moment {
    const sum = nanoseconds + this.#offset.nanoseconds;
    const carry = sum >= NANOSECONDS ? 1 : 0;
    return { seconds: seconds + this.#offset.seconds + carry, nanoseconds: sum - carry * NANOSECONDS };
  }
}

function now(): Moment {
  const ms = Date.now();
  return { seconds: Math.floor(ms / 1000), nanoseconds: (ms % 1000) * 1_000_000 };
}
