/**
 * Work that is done one after the other. One such queue is that of all that changes what is in force: rules, health,
 * next hops, captures.
 *
 * @module
 */

export class ChangeQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` after all that was queued before. Work must not wait for other work that it queues. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Resolves when all that is queued now has run. */
  get idle(): Promise<void> {
    return this.#last.then(() => {});
  }
}
