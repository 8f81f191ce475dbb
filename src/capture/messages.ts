/**
 * What the control thread and the thread that writes captures tell each other. Packets go through shared memory, never
 * through here.
 *
 * @module
 */

/** Name of the thread; the entry module knows it by this. */
export const CAPTURE_THREAD = "capture";

/** Where a worker's queue end is. */
export interface PortPlace {
  /** Number of the interface. */
  readonly networkInterface: number;
  readonly queue: number;
}

/** One file, as it is to be written. */
export interface FileOrder {
  /** In which, or below which, the file is; no link leads out of it. */
  readonly directory: string;
  readonly path: string;
  /** Most bytes kept of a packet. */
  readonly snap: number;
  /** A file that has packets ends before it is larger than so many bytes, or when it is so old. Null: at any age. */
  readonly rotate: { readonly size: number; readonly seconds: number | null; readonly keep: number };
}

export type ToWriter =
  | {
    readonly type: "begin";
    /** By worker. */
    readonly rings: readonly SharedArrayBuffer[];
    /** By queue end: the same for every worker. */
    readonly ports: readonly PortPlace[];
    readonly interfaces: readonly string[];
    /** For {@linkcode CaptureCounts}. */
    readonly counts: SharedArrayBuffer;
    readonly about: { readonly hardware: string; readonly os: string; readonly userappl: string };
  }
  | { readonly type: "open"; readonly id: number; readonly order: FileOrder }
  /**
   * Ends a capture once all workers go by the plan `version` or a later one, and what they put in before is written.
   */
  | { readonly type: "close"; readonly id: number; readonly version: number }
  /** Writes what is in the rings, whose workers have ended, and closes all files. */
  | { readonly type: "stop" };

/** What happened to the file of a capture. */
export type FileMessage =
  /** The file is there, or has failed. */
  | { readonly type: "opened"; readonly id: number }
  | { readonly type: "failed"; readonly id: number; readonly message: string; readonly hint: string }
  | { readonly type: "closed"; readonly id: number };

export type FromWriter = FileMessage | { readonly type: "ready" } | { readonly type: "stopped" };

/**
 * Packets by capture: those in files, and those that reached the writer but no file. Written by the writer's thread
 * only.
 */
export class CaptureCounts {
  readonly written: Float64Array;
  readonly lost: Float64Array;

  constructor(readonly memory: SharedArrayBuffer) {
    const ids = memory.byteLength / 16;
    this.written = new Float64Array(memory, 0, ids);
    this.lost = new Float64Array(memory, ids * 8, ids);
  }

  static create(ids: number): CaptureCounts {
    return new CaptureCounts(new SharedArrayBuffer(ids * 16));
  }
}
