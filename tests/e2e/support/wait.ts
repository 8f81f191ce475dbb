/**
 * Waiting for something that another process does.
 *
 * @module
 */

/** How long anything may take where nothing else is said: far more than it takes, for the machine may be slow. */
export const PATIENCE_MS = 60_000;
const STEP_MS = 5;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Asks again and again until the answer is not undefined or false.
 *
 * @param what Completes "waited in vain for ".
 * @throws {Error} after `limitMs`, with what `describe` says about the state then.
 */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  { limitMs = PATIENCE_MS, describe }: { readonly limitMs?: number; readonly describe?: () => unknown } = {},
): Promise<T> {
  const deadline = performance.now() + limitMs;
  while (true) {
    const answer = await probe();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) {
      const state = describe === undefined ? "" : `: ${JSON.stringify(describe())}`;
      throw new Error(`Waited ${limitMs} ms in vain for ${what}${state}`);
    }
    await sleep(STEP_MS);
  }
}
