import assert from "node:assert/strict";
import { FakeApi } from "../../tests/support/fake_api.ts";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { withFolder } from "../../tests/support/folder.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { ThreadHere } from "../../tests/support/thread_here.ts";
import { SteerError } from "../errors.ts";
import { apiThread, ControlServer } from "./server.ts";

const MAIN = new URL("../../main.ts", import.meta.url);

/** Asks on a control socket. @returns The status, and the body. */
async function ask(path: string, url: string, init: RequestInit = {}): Promise<[number, string]> {
  using client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
  const answer = await fetch(`http://localhost${url}`, { ...init, client });
  return [answer.status, await answer.text()];
}

Deno.test("ControlServer answers from a thread of its own, logs what that says, and leaves no socket behind", () =>
  withFolder(async (folder) => {
    using api = new FakeApi();
    using log = new LogRecords();
    const socket = `${folder}/control.sock`;
    const server = await ControlServer.open({
      control: { socket, group: null, http: null, settle: 5 },
      options: api,
      start: () => apiThread(MAIN),
    });
    assert.deepEqual(await ask(socket, "/livez"), [200, "ok\n"]);
    assert.match((await ask(socket, "/"))[1], /<html/);
    assert.equal((await ask(socket, "/nowhere"))[0], 404);
    const [status, text] = await ask(socket, "/v1/ports", {
      method: "POST",
      body: '{ "ports": 8080, "worker": 1, "rule": "chat" }',
    });
    assert.deepEqual([status, JSON.parse(text).generation], [200, 2]);
    await Deno.remove(socket);
    while (log.lines.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(log.lines[0], `warning: The control socket ${socket} has been removed: it is made again`);
    assert.deepEqual(await ask(socket, "/livez"), [200, "ok\n"]);
    await server.close();
    await assert.rejects(Deno.lstat(socket), Deno.errors.NotFound);
  }));

Deno.test("ControlServer does not open where an address is taken, and says so", () =>
  withFolder(async (folder) => {
    using api = new FakeApi();
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const socket = `${folder}/control.sock`;
    const http = `127.0.0.1:${(taken.addr as Deno.NetAddr).port}`;
    await assert.rejects(
      ControlServer.open({
        control: { socket, group: null, http, settle: 5 },
        options: api,
        start: () => apiThread(MAIN),
      }),
      (error) =>
        error instanceof SteerError && error.message.startsWith(`Cannot listen on ${http}`) && error.hint !== undefined,
    );
    await assert.rejects(Deno.lstat(socket), Deno.errors.NotFound);
  }));

Deno.test("ControlServer starts another thread when one fails or hangs; questions are answered again", () =>
  withFolder(async (folder) => {
    using api = new FakeApi();
    using log = new LogRecords();
    const socket = `${folder}/control.sock`;
    const timers = new FakeTimers();
    const threads: ThreadHere[] = [];
    const server = await ControlServer.open({
      control: { socket, group: null, http: null, settle: 5 },
      options: api,
      start: () => {
        threads.push(new ThreadHere());
        return threads.at(-1)!;
      },
      timers,
    });
    threads[0]!.hangs = true;
    await timers.pass(9000);
    assert.equal(threads.length, 1);
    await timers.pass(3000);
    assert.equal(threads.length, 2);
    assert.match(log.lines.join(), /has failed: it has not answered for 10 s: another one is started/);
    assert.deepEqual(await ask(socket, "/livez"), [200, "ok\n"]);
    const event = { message: "out of memory", preventDefault: () => {} } as ErrorEvent;
    threads[1]!.onerror!.call(threads[1] as unknown as Worker, event);
    await timers.pass(2000);
    assert.deepEqual([threads.length, server.restarts], [3, 2]);
    assert.deepEqual(await ask(socket, "/livez"), [200, "ok\n"]);
    const closed = server.close();
    await timers.pass(1000);
    await closed;
  }));
