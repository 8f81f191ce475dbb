import assert from "node:assert/strict";
import { get } from "./client.ts";

Deno.test("what is no control socket is called what it is, and nobody is said to have ended", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const stale = `${directory}/stale`;
    const socket = Deno.listen({ transport: "unix", path: `${directory}/bound` });
    Deno.renameSync(`${directory}/bound`, stale); // closing removes the name it was bound to only
    socket.close();
    const cases: readonly (readonly [path: string, says: RegExp])[] = [
      ["/etc/passwd", /at "\/etc\/passwd": it is not a socket$/],
      [directory, /: it is not a socket$/],
      ["", /^The path of the control socket is empty$/],
      [`${directory}/none`, /: there is no such socket$/],
      [stale, /: nobody answers on it$/],
    ];
    for (const [path, says] of cases) {
      await assert.rejects(get(path, "/v1/status"), (error: Error) => says.test(error.message), path);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
