/**
 * The thread that writes captures: it looks into the workers' rings every few milliseconds and waits for nobody but the
 * disk.
 *
 * @module
 */
import { CaptureRingReader } from "../dataplane/capture_ring.ts";
import { codeOf, messageOf, SteerError } from "../errors.ts";
import { CaptureFile } from "./file.ts";
import { InTheWay } from "./names.ts";
import { CaptureCounts, type FileOrder, type FromWriter, type PortPlace, type ToWriter } from "./messages.ts";

/** Pauses between two looks: while packets come, and while none do. */
const BUSY_MS = 1;
const IDLE_MS = 10;
/** Records taken before their room is given back. */
const RELEASE_EVERY = 256;
/** How long a capture waits for workers to say that they have taken note of its end. */
const ACKNOWLEDGE_MS = 2000;
/** How long the last packets may take to write. */
const STOP_MS = 1000;

type Begin = Extract<ToWriter, { type: "begin" }>;
type Close = Extract<ToWriter, { type: "close" }>;

/** Takes the thread over until it is told to stop. */
export function serveAsCaptureWriter(scope: DedicatedWorkerGlobalScope): void {
  const post = (message: FromWriter): void => scope.postMessage(message);
  let writer: CaptureWriter | undefined;
  scope.onmessage = ({ data }: MessageEvent<ToWriter>) => {
    if (data.type === "begin") writer = new CaptureWriter(data, post);
    else writer!.obey(data);
  };
  post({ type: "ready" });
}

class CaptureWriter {
  readonly #readers: readonly CaptureRingReader[];
  readonly #ports: readonly PortPlace[];
  readonly #counts: CaptureCounts;
  readonly #files: (CaptureFile | undefined)[] = [];
  /** Orders that wait for their turn. */
  readonly #orders: ToWriter[] = [];
  #waitingSince: number | undefined;
  #stopped = false;

  constructor(private readonly options: Begin, private readonly post: (message: FromWriter) => void) {
    this.#ports = options.ports;
    this.#readers = options.rings.map((ring) => new CaptureRingReader(ring, options.ports.length));
    this.#counts = new CaptureCounts(options.counts);
    this.#turn();
  }

  obey(order: ToWriter): void {
    this.#orders.push(order);
    this.#obeyAll();
  }

  #turn(): void {
    if (this.#stopped) return;
    const found = this.#drain();
    const nowMs = performance.now();
    for (const file of this.#files) file?.tick(nowMs);
    this.#obeyAll();
    setTimeout(() => this.#turn(), found ? BUSY_MS : IDLE_MS);
  }

  /** Takes everything out of the rings that is in there now. @returns False when there was nothing. */
  #drain(): boolean {
    let taken = 0;
    for (const reader of this.#readers) {
      reader.look();
      while (reader.next()) {
        const file = this.#files[reader.id];
        if (file === undefined) this.#addLost(reader.id, 1);
        else file.append(reader, this.#ports[reader.port]!);
        if (++taken % RELEASE_EVERY === 0) reader.release();
      }
      reader.release();
    }
    return taken > 0;
  }

  /** In the order they came: a name may pass from one capture to another. */
  #obeyAll(): void {
    if (this.#orders.some(({ type }) => type === "stop")) return this.#stop();
    while (this.#orders.length > 0) {
      const [order] = this.#orders;
      if (order!.type === "close" && !this.#workersKnow(order!)) return;
      this.#orders.shift();
      this.#waitingSince = undefined;
      if (order!.type === "open") this.#open(order!.id, order!.order);
      if (order!.type === "close") this.#close(order!.id);
    }
  }

  #workersKnow({ version }: Close): boolean {
    if (this.#readers.every(({ planSeen }) => planSeen >= version)) return true;
    this.#waitingSince ??= performance.now();
    return performance.now() - this.#waitingSince > ACKNOWLEDGE_MS;
  }

  #open(id: number, order: FileOrder): void {
    const { about, interfaces } = this.options;
    const { written } = this.#counts;
    const droppedNow = (networkInterface: number): number => this.#dropped(id, networkInterface);
    const before = interfaces.map((_, index) => droppedNow(index));
    this.#files[id] = new CaptureFile(order, {
      about,
      interfaces,
      dropped: (networkInterface) => droppedNow(networkInterface) - before[networkInterface]!,
      onWritten: (packets) => written[id] = written[id]! + packets,
      onLost: (packets) => this.#addLost(id, packets),
      onFailure: (error) => this.post({ type: "failed", id, message: reasonOf(error), hint: hintFor(error) }),
    });
    this.post({ type: "opened", id });
  }

  #close(id: number): void {
    this.#drain();
    this.#files[id]?.finish();
    this.#files[id] = undefined;
    this.post({ type: "closed", id });
  }

  #stop(): void {
    this.#orders.length = 0;
    this.#stopped = true;
    const end = performance.now() + STOP_MS;
    while (this.#drain() && performance.now() < end);
    for (const file of this.#files) file?.finish();
    this.post({ type: "stopped" });
  }

  /** Packets of a capture that no worker had room for, by interface. */
  #dropped(id: number, networkInterface: number): number {
    let dropped = 0;
    for (const reader of this.#readers) {
      this.#ports.forEach((place, port) => {
        if (place.networkInterface === networkInterface) dropped += reader.dropped(id, port);
      });
    }
    return dropped;
  }

  #addLost(id: number, packets: number): void {
    const { lost } = this.#counts;
    lost[id] = lost[id]! + packets;
  }
}

/** The system's words without the name of a descriptor in /proc, which says nothing to an operator. */
function reasonOf(error: unknown): string {
  return messageOf(error).replace(/[,:] \w+ '.*$/s, "");
}

/** EFBIG, for which the runtime has no code. */
const TOO_LARGE = /\(os error 27\)/;

/** What the operator can do about it. */
function hintFor(error: unknown): string {
  const code = codeOf(error instanceof SteerError ? error.cause : error);
  const again = "then xdpsteer reload tries again";
  if (code === "ENOSPC" || code === "EDQUOT") return `the disk is full: make room, or rotate smaller files, ${again}`;
  if (TOO_LARGE.test(messageOf(error))) {
    return "a file of this process may not be so large (LimitFSIZE=, ulimit -f): permit it, or rotate smaller files, " +
      again;
  }
  if (code === "ENOENT" || code === "ENOTDIR") return `its directory does not exist: make it, ${again}`;
  if (["EACCES", "EPERM", "EROFS"].includes(code)) {
    return `xdpsteer may not write there (it runs as user ${Deno.uid()}): choose another directory, or permit it, ` +
      again;
  }
  if (code === "EXDEV") return `no link may lead out of capture.directory: name another directory, ${again}`;
  if (error instanceof InTheWay) return `it is left alone: choose another name, or remove it, ${again}`;
  return `find out about the disk, ${again}`;
}
