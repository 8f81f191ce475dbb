/**
 * When a backend counts as healthy: one that is stays so until `fall` checks in a row have failed, one that is not
 * becomes so once `rise` checks in a row have succeeded.
 *
 * @module
 */
export class RiseAndFall {
  #healthy = true;
  /** Checks in a row that spoke against what holds now. */
  #against = 0;

  /** Healthy from the start: nothing is known against a backend that no check has failed. */
  constructor(private readonly rise: number, private readonly fall: number, healthy = true) {
    this.#healthy = healthy;
  }

  get healthy(): boolean {
    return this.#healthy;
  }

  /** Takes the outcome of one check. @returns whether it made the difference. */
  record(succeeded: boolean): boolean {
    if (succeeded === this.#healthy) {
      this.#against = 0;
      return false;
    }
    this.#against++;
    if (this.#against < (this.#healthy ? this.fall : this.rise)) return false;
    this.#healthy = succeeded;
    this.#against = 0;
    return true;
  }
}
