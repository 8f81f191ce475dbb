import assert from "node:assert/strict";
import { createServer } from "node:http";
import { LOCK_SUFFIX } from "../api/alive.ts";
import { call, get } from "./client.ts";

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

Deno.test("call(): a listener that takes connections and never answers is told from one that works", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/silent.sock`;
  const held: Deno.Conn[] = [];
  const listener = Deno.listen({ transport: "unix", path });
  const taking = (async () => {
    for await (const connection of listener) held.push(connection);
  })();
  try {
    for (const method of ["GET", "POST"] as const) {
      await assert.rejects(call(path, method, "/v1/status", undefined, 50), {
        message: `Cannot reach xdpsteer at "${path}": somebody listens there, and has not answered for 10 s`,
        hint: /it hangs, or is no xdpsteer: ss -xlp/,
      });
    }
  } finally {
    listener.close();
    await taking;
    for (const connection of held) connection.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("call(): while one process gives the socket to another it is waited for, and an answer is one at once", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/control.sock`;
  const answers = [{ status: 200, text: "there" }, { status: 422, text: '{"error":"not so","hint":null}' }];
  const server = createServer((_, response) => {
    const { status, text } = answers.shift()!;
    response.writeHead(status).end(text);
  });
  try {
    await Deno.writeTextFile(`${path}${LOCK_SUFFIX}`, "");
    const asked = get(path, "/v1/status");
    await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    assert.equal(await asked, "there");
    await assert.rejects(get(path, "/v1/status"), { message: "not so" });
  } finally {
    await new Promise((resolve) => server.close(resolve));
    await Deno.remove(folder, { recursive: true });
  }
});
