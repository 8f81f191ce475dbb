import assert from "node:assert/strict";
import { READ_BYTES } from "./gate.ts";
import { Listener, MAX_AHEAD, MAX_UNTAKEN_BYTES, MIN_BODY_BYTES_PER_SECOND, STALLED_MS, TAKEN_MS } from "./listener.ts";
import { MAX_CONNECTIONS, MAX_OF_USER, MAX_OF_USERS } from "./places.ts";

const HELD = "GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PLAIN = "GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n";

/** A listener that never answers /held. */
async function opened(): Promise<{ readonly path: string } & AsyncDisposable> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/socket`;
  const listener = await Listener.open({ path }, ({ url }, response) => {
    if (url === "/plain") response.end("here");
  });
  return {
    path,
    async [Symbol.asyncDispose](): Promise<void> {
      await listener.close();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

async function send(path: string, text: string): Promise<Deno.Conn> {
  const connection = await Deno.connect({ transport: "unix", path });
  await connection.write(new TextEncoder().encode(text)).catch(() => {}); // it may be cut off at once
  return connection;
}

/** What comes first; "" where the connection was ended. */
async function first(connection: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(1000);
  const count = await connection.read(buffer).catch(() => null);
  return new TextDecoder().decode(buffer.subarray(0, count ?? 0));
}

Deno.test("Listener ends who sends requests ahead of their answers, when they are many, and nobody else", async () => {
  await using listener = await opened();
  const silent = await send(listener.path, "");
  const patient = await send(listener.path, HELD);
  const ahead = await Promise.all(Array.from({ length: 100 }, () => send(listener.path, HELD.repeat(20))));
  let ended = 0;
  const ends = ahead.map(async (connection) => {
    if (await first(connection) === "") ended++;
  });
  const asked = await send(listener.path, PLAIN);
  assert.match(await first(asked), /^HTTP\/1\.1 200 /);
  while (ended < 100 - 16) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(ended, 100 - 16);
  for (const open of [silent, asked]) {
    await open.write(new TextEncoder().encode(PLAIN));
    assert.match(await first(open), /^HTTP\/1\.1 200 /);
  }
  for (const connection of [silent, patient, asked, ...ahead]) connection.close();
  await Promise.all(ends);
});

Deno.test("Listener keeps its places for who is answered: not for bodies that crawl, nor for what nobody reads", async () => {
  await using listener = await opened();
  const half = "PUT /held HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nversion";
  const slow = await Promise.all(Array.from({ length: MAX_CONNECTIONS }, () => send(listener.path, half)));
  const ends = Promise.all(slow.map(first));
  // There is no idle one but those that come: each has the time to ask.
  const late = await Promise.all(Array.from({ length: 20 }, () => send(listener.path, "")));
  for (const connection of late) {
    await connection.write(new TextEncoder().encode(PLAIN));
    assert.match(await first(connection), /^HTTP\/1\.1 200 /);
  }
  assert.deepEqual([...new Set(await ends)], [""], "the others are cut off for their rate");
  for (const connection of [...slow, ...late]) connection.close();
});

Deno.test("Listener answers a request whose large body nobody reads, and then closes", async () => {
  await using listener = await opened();
  const bytes = 500_000;
  const request = `POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${bytes}\r\n\r\n`;
  const connection = await send(listener.path, request);
  const body = connection.write(new Uint8Array(100_000)); // not all of it
  assert.match(await first(connection), /^HTTP\/1\.1 200 [^]*connection: close[^]*here/i);
  await body;
  assert.equal(await first(connection), "", "it is closed");
  connection.close();
});

Deno.test("Listener.close() ends silent connections, and answers that nobody gives, within a bound", async () => {
  const listener = await opened();
  const open = [await send(listener.path, ""), await send(listener.path, HELD)];
  const ends = Promise.all(open.map(first));
  await listener[Symbol.asyncDispose]();
  assert.deepEqual(await ends, ["", ""]);
  for (const connection of open) connection.close();
});

Deno.test("docs/architecture.md states the bounds of clients as they are", async () => {
  const text = await Deno.readTextFile(new URL("../../docs/architecture.md", import.meta.url));
  const words = text.replaceAll(/\s+/g, " ");
  for (
    const stated of [
      `and reads ${READ_BYTES / 1024} KiB ahead at most`,
      `has at most ${MAX_CONNECTIONS} connections`,
      `of one user ${MAX_OF_USER}, of all users ${MAX_OF_USERS}`,
      `A body that comes slower than ${MIN_BODY_BYTES_PER_SECOND / 1024} KiB a second`,
      `Of those that send ahead it keeps ${MAX_AHEAD}.`,
      `does not read at all is dropped after ${STALLED_MS / 1000} seconds`,
      `one that it reads slowly after ${TAKEN_MS / 1000}`,
      `those of a listener together exceed ${MAX_UNTAKEN_BYTES >> 20} MiB`,
    ]
  ) assert.ok(words.includes(stated), `it does not say "${stated}"`);
});

Deno.test("who waits for an answer is not cut off, however long that takes", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/socket`;
  const listener = await Listener.open({ path }, (_request, response) => {
    setTimeout(() => response.end("late"), STALLED_MS + 2500);
  });
  const client = await send(path, "GET / HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n");
  assert.match(await new Response(client.readable).text(), /^HTTP\/1\.1 200 [^]*late$/);
  await listener.close();
  await Deno.remove(folder, { recursive: true });
});
