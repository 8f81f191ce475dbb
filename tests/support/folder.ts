/**
 * A folder for one test.
 *
 * @module
 */

/** Runs a test with an empty folder, which is removed afterwards with all that is in it. */
export async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
