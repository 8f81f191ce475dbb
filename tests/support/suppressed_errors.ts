/**
 * What a test fails with is told in full: where an error comes out of the disposal of what a test has failed with, Deno
 * prints of the SuppressedError that holds both neither.
 *
 * @module
 */

/** All errors that one stands for, in the order in which they were thrown. */
function errorsOf(error: unknown): unknown[] {
  return error instanceof SuppressedError ? [...errorsOf(error.suppressed), ...errorsOf(error.error)] : [error];
}

Object.defineProperty(SuppressedError.prototype, "cause", {
  configurable: true,
  get(this: SuppressedError): AggregateError {
    return new AggregateError(errorsOf(this), "these errors, one after the other");
  },
});
