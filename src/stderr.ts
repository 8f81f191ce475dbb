/**
 * Standard error, on which log and command line write. Whoever steers packets must not wait for who reads it: from
 * {@linkcode neverWait} on, lines that nobody takes are kept, up to a bound, and the others are counted.
 *
 * @module
 */

/** Standard error, written without ever waiting. */
export interface UnwaitingOutput {
  /** @returns bytes taken: 0 where it takes none now. Throws where it never will again. */
  write(bytes: Uint8Array<ArrayBuffer>): number;
  /** Waits until it takes bytes again, for `ms` at most. @returns whether it does. */
  waitFor(ms: number): boolean;
  /** It takes none since there is no room for it, and nobody has to read it. */
  readonly isFull?: boolean;
}

/** How the output is, for the metrics and the list of problems. */
export interface OutputState {
  /** Lines that were lost since the start. */
  readonly linesLost: number;
  /** False while it takes no lines, or has been closed by who read it. */
  readonly isWritable: boolean;
  /** The disk it goes to is full: that is why. */
  readonly isFull?: boolean;
}

/** Bytes that are kept: about a thousand lines. */
const MAX_KEPT_BYTES = 256 * 1024;
/** Between two attempts to write what is kept. */
const AGAIN_MS = 100;
/** What is kept at the end is tried for so long. */
const LAST_MS = 200;

/** Lines on their way to an output that may take none. */
export class LineQueue {
  #kept: Uint8Array<ArrayBuffer>[] = [];
  #keptBytes = 0;
  #isWritable = true;
  #linesLost = 0;
  /** Of those, which nobody has been told of. */
  #untold = 0;
  #again: ReturnType<typeof setTimeout> | undefined;

  /** @param onTaken Called when lines are taken again, with how many were lost meanwhile. */
  constructor(private readonly output: UnwaitingOutput, private readonly onTaken: (lost: number) => void) {}

  get state(): OutputState {
    return {
      linesLost: this.#linesLost,
      isWritable: this.#isWritable,
      ...(this.output.isFull ? { isFull: true } : {}),
    };
  }

  /** Writes a line now, or later, or counts it as lost. Never throws. */
  add(line: Uint8Array<ArrayBuffer>): void {
    this.#drain();
    // Once one is lost, so are all until the others are written: where they are missing, a line says so.
    const isFull = this.#untold > 0 || this.#keptBytes + line.length > MAX_KEPT_BYTES;
    if (this.#kept.length > 0 && isFull) return this.#lose(1);
    this.#kept.push(line);
    this.#keptBytes += line.length;
    this.#drain();
  }

  /** Waits for what is kept to be written, within a bound. */
  finish(): void {
    const end = performance.now() + LAST_MS;
    this.#drain();
    while (this.#kept.length > 0 && this.output.waitFor(Math.max(0, end - performance.now()))) this.#drain();
    clearTimeout(this.#again);
  }

  #drain(): void {
    if (this.#kept.length === 0) return;
    try {
      while (this.#kept.length > 0) {
        const [line] = this.#kept;
        const taken = this.output.write(line!);
        if (taken === 0) return this.#tryLater();
        this.#keptBytes -= taken;
        if (taken < line!.length) this.#kept[0] = line!.subarray(taken);
        else this.#kept.shift();
      }
      this.#isWritable = true;
      this.#tellLost();
    } catch {
      this.#isWritable = false; // nobody will read what is kept; the next line tries again
      this.#lose(this.#kept.length);
      this.#kept = [];
      this.#keptBytes = 0;
    }
  }

  #tryLater(): void {
    this.#isWritable = false;
    if (this.#again !== undefined) return;
    this.#again = setTimeout(() => {
      this.#again = undefined;
      this.#drain();
    }, AGAIN_MS);
    Deno.unrefTimer(this.#again as unknown as number); // it is no reason to go on
  }

  #lose(lines: number): void {
    this.#linesLost += lines;
    this.#untold += lines;
  }

  #tellLost(): void {
    const lost = this.#untold;
    if (lost === 0) return;
    this.#untold = 0;
    this.onTaken(lost);
  }
}

const encoder = new TextEncoder();
let open: (() => LineQueue) | undefined;
let queue: LineQueue | undefined;

/**
 * From now on no line waits for who reads standard error.
 *
 * @param output Called with the first line.
 * @param onTaken As that of {@linkcode LineQueue}.
 */
export function neverWait(output: () => UnwaitingOutput, onTaken: (lost: number) => void): void {
  open = () => new LineQueue(output(), onTaken);
}

/** Writes lines to standard error. Says nothing where it takes none. */
export function writeError(text: string): void {
  if (open !== undefined) return (queue ??= open()).add(encoder.encode(text));
  try {
    for (let bytes = encoder.encode(text); bytes.byteLength > 0;) bytes = bytes.subarray(Deno.stderr.writeSync(bytes));
  } catch {
    // There is nobody left to tell.
  }
}

/** How standard error is. */
export function outputState(): OutputState {
  return queue?.state ?? { linesLost: 0, isWritable: true };
}

/** To be called before the process ends: its last words are tried for a moment. */
export function finishErrors(): void {
  queue?.finish();
}
