/**
 * The one way to put something in force: two halves in memory that others read. One half is in force; the other is
 * written, and one store flips them.
 *
 * A change of several such things is all or nothing: each part is prepared first, which readers do not notice and which
 * may fail; then all parts flip. See {@linkcode Changes}.
 *
 * @module
 */

/** Those who read something published. */
export interface Readers {
  /** Number of the version in force: it grows by one with each flip. The half in force is this modulo 2. */
  readonly version: number;
  /** Tells the readers which version is in force. Takes no time. */
  publish(version: number): void;
  /**
   * Resolves when no reader uses any version but the one in force.
   *
   * @throws {SteerError} when a reader does not answer.
   */
  caughtUp(): Promise<void>;
}

export class Published<Half> {
  constructor(private readonly halves: readonly Half[], private readonly readers: Readers) {}

  /** Number of the version in force; 0 before the first flip. */
  get version(): number {
    return this.readers.version;
  }

  /** The half in force. */
  get current(): Half {
    return this.halves[this.readers.version & 1]!;
  }

  /** The other half, once nobody reads it any more. The caller may write it until the next flip. */
  async idle(): Promise<Half> {
    await this.readers.caughtUp();
    return this.halves[(this.readers.version + 1) & 1]!;
  }

  /**
   * Puts the other half in force. Flipping twice in a row restores what was in force, under a new number, so that a
   * reader that has seen neither flip is not taken for one that has seen both.
   */
  flip(): void {
    this.readers.publish(this.readers.version + 1);
  }

  /** Resolves when all readers use the half in force. */
  caughtUp(): Promise<void> {
    return this.readers.caughtUp();
  }
}

/** Part of a change, prepared. */
export interface Change {
  /** Puts it in force. Takes no time. A flip that throws has changed nothing. */
  flip(): void;
  /** Undoes the flip; called in the same turn of the event loop. Does not throw. */
  back(): void;
}

/** A part of {@linkcode Published} whose idle half has been written. */
export function flipOf(published: Published<unknown>): Change {
  return { flip: () => published.flip(), back: () => published.flip() };
}

/** Parts of a change that come into force together, in the order in which they were added, or not at all. */
export class Changes implements Change {
  readonly #parts: Change[] = [];

  /** @returns The part. */
  add<Part extends Change>(part: Part): Part {
    this.#parts.push(part);
    return part;
  }

  /** Puts all parts in force. When one fails, those before it are undone, and the failure is thrown. */
  flip(): void {
    const flipped: Change[] = [];
    try {
      for (const part of this.#parts) {
        part.flip();
        flipped.push(part);
      }
    } catch (error) {
      for (const part of flipped.reverse()) part.back();
      throw error;
    }
  }

  back(): void {
    for (const part of [...this.#parts].reverse()) part.back();
  }
}
