import assert from "node:assert/strict";
import "../../tests/support/suppressed_errors.ts";

function failing(message: string): AsyncDisposable {
  return { [Symbol.asyncDispose]: () => Promise.reject(new Error(message)) };
}

Deno.test("of a test that fails, and of whose things two cannot be disposed of, every error is told", async () => {
  const error = await (async () => {
    await using _outer = failing("the outer");
    await using _inner = failing("the inner");
    throw new Error("the test itself");
  })().catch((error) => error);
  const told = Deno.inspect(error);
  for (const message of ["the test itself", "the inner", "the outer"]) {
    assert.ok(told.includes(`Error: ${message}`), told);
  }
});
