import assert from "node:assert/strict";
import { FakeApi } from "../../tests/support/fake_api.ts";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { withFolder } from "../../tests/support/folder.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { ThreadHere } from "../../tests/support/thread_here.ts";
import { SteerError } from "../errors.ts";
import type { Failure } from "../../tests/support/breakable_api.ts";
import type { FoundProblem } from "../observe/problems/kinds.ts";
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

interface BrokenRig {
  readonly server: ControlServer;
  readonly socket: string;
  readonly http: string;
  readonly timers: FakeTimers;
  readonly log: LogRecords;
  /** Waits until /livez is answered: on the socket, and over TCP. */
  readonly answered: () => Promise<void>;
  readonly answeredOverTcp: () => Promise<void>;
}

/** A server whose thread is a real one, and fails in a way. */
async function withBroken(how: Failure, test: (rig: BrokenRig) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    using api = new FakeApi();
    using log = new LogRecords();
    const timers = new FakeTimers();
    const [socket, http] = [`${folder}/control.sock`, `127.0.0.1:${freePort()}`];
    const threads: Worker[] = [];
    const server = await ControlServer.open({
      control: { socket, group: null, http, settle: 5 },
      options: api,
      start: () => {
        threads.push(new Worker(import.meta.resolve("../../tests/support/breakable_api.ts"), { type: "module" }));
        return threads.at(-1)!;
      },
      timers,
    });
    const overTcp = (): Promise<boolean> => fetch(`http://${http}/livez`).then((answer) => answer.text()).then(isOk);
    const onSocket = (): Promise<boolean> => ask(socket, "/livez").then(([, text]) => isOk(text));
    const isOk = (text: string): boolean => text === "ok\n";
    assert.ok(await overTcp());
    threads[0]!.postMessage(how);
    await test({
      ...{ server, socket, http, timers, log },
      answered: () => until(() => onSocket().catch(() => false)),
      answeredOverTcp: () => until(() => overTcp().catch(() => false)),
    });
    await server.close();
    await assert.rejects(Deno.lstat(socket), Deno.errors.NotFound);
  });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

Deno.test("ControlServer replaces a thread that has died, with both listeners", () =>
  withBroken({ type: "throw" }, async ({ server, timers, log, answered, answeredOverTcp }) => {
    await until(() => log.lines.some((line) => /has failed: .*told to fail.*: another one is started/.test(line)));
    await timers.pass(1000);
    await answered();
    await answeredOverTcp();
    assert.deepEqual([server.restarts, server.unreachable], [1, []]);
  }));

Deno.test("ControlServer serves the socket where a thread does not end, and says that the address is still that one's", () => {
  const end = new Int32Array(new SharedArrayBuffer(4));
  return withBroken({ type: "spin", until: end }, async ({ server, http, timers, log, answered, answeredOverTcp }) => {
    try {
      await timers.pass(12_000);
      assert.match(log.lines.join(), /has failed: it has not answered for 10 s: another one is started/);
      await answered();
      await until(() => server.unreachable.length > 0);
      const [{ kind, subject, message }] = server.unreachable as [FoundProblem];
      assert.deepEqual([kind, subject], ["http_lost", http]);
      assert.match(message, /^Nobody answers on 127\.0\.0\.1:[0-9]+: .*A thread that has failed still has it/);
    } finally {
      Atomics.store(end, 0, 1);
    }
    await answeredOverTcp();
    await until(() => server.unreachable.length === 0);
    assert.equal(server.restarts, 1);
  });
});

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
