/**
 * What a change of rules is told when there is no room for it.
 *
 * @module
 */
import { SteerError } from "../errors.ts";
import { SlotsExhausted } from "../steering/slots.ts";

/** @throws {SteerError} where `assign` finds no room. `what` there is too much of: `rules`. */
export function orRefused<Result>(what: string, assign: () => Result): Result {
  try {
    return assign();
  } catch (error) {
    if (!(error instanceof SlotsExhausted)) throw error;
    throw new SteerError(`Too many different ${what} in a short time: ${error.message}`, {
      cause: error,
      hint: "make the change in two steps, one after the other",
    });
  }
}
