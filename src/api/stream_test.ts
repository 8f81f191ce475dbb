import assert from "node:assert/strict";
import { EventEmitter } from "node:events";

import { countRule } from "../../tests/support/fake_appliance.ts";
import { QUIET_BACKEND } from "../../tests/support/backend_status.ts";
import { FakeApi } from "../../tests/support/fake_api.ts";
import { ThreadHere } from "../../tests/support/thread_here.ts";
import { configureLog, logger } from "../log.ts";
import { HttpError } from "./answers.ts";
import { ControlServer } from "./server.ts";
import { StreamFan, type StreamResponse } from "./stream_fan.ts";

interface Message {
  readonly event: string;
  readonly id: string | undefined;
  // deno-lint-ignore no-explicit-any -- whatever the event has
  readonly data: any;
}

/** A client's end: what was written, and how much of it the client has not read. */
class FakeResponse extends EventEmitter {
  text = "";
  writableLength = 0;
  ended = false;
  destroyed = false;

  write(text: string): boolean {
    this.text += text;
    return true;
  }

  end(): this {
    this.ended = true;
    return this;
  }

  destroy(): this {
    this.destroyed = true;
    this.emit("close");
    return this;
  }

  /** All messages since the last call. */
  take(): Message[] {
    const blocks = this.text.split("\n\n");
    assert.equal(blocks.pop(), "", "each message ends with an empty line");
    this.text = "";
    return blocks.filter((block) => !block.startsWith("retry:")).map((block) => {
      const fields = new Map(
        block.split("\n").map((line) => {
          const [, name, value] = /^(\w+): (.*)$/s.exec(line) ?? assert.fail(line);
          return [name!, value!];
        }),
      );
      return { event: fields.get("event")!, id: fields.get("id"), data: JSON.parse(fields.get("data")!) };
    });
  }

  events(): string[] {
    return this.take().map(({ event }) => event);
  }
}

/** Streams of one fake appliance. */
class Rig implements Disposable {
  readonly api = new FakeApi();
  readonly fan = new StreamFan(() => this.api.streams.close());

  constructor() {
    this.api.streams.sink = { tell: (event) => this.fan.tell(event), ended: () => this.fan.end() };
  }

  watch(response = new FakeResponse()): FakeResponse {
    this.fan.reserve();
    const { body, stream } = this.api.streams.open();
    this.fan.add(response as unknown as StreamResponse, body as string, stream!);
    return response;
  }

  [Symbol.dispose](): void {
    this.api[Symbol.dispose]();
  }
}

/** Most that may wait for a client. */
const BUFFER = 1 << 18;

function say(text: string): void {
  logger("test").info("{text}", { text });
}

// What is logged goes to whoever listens at level info; nothing of it is printed.
configureLog({ level: "error", format: "json" });

Deno.test("a stream tells a new watcher who this is, the past, the rules, what was logged, and the counters", () => {
  using rig = new Rig();
  say("before");
  const response = rig.watch();
  assert.match(response.text, /^retry: 1000\n\nevent: hello\n/);
  const messages = response.take();
  assert.deepEqual([...new Set(messages.map(({ event }) => event))], ["hello", "config", "log", "tick"]);
  const [hello, config] = messages;
  assert.equal(hello!.data.configFile, "/etc/xdpsteer/steering.yaml");
  assert.deepEqual(hello!.data.interfaces, [
    { name: "lo", attach: "native", queues: [{ id: 0, zeroCopy: false }, { id: 1, zeroCopy: false }] },
  ]);
  assert.deepEqual(hello!.data.workers, [{ cpu: 3 }, { cpu: null }]);
  assert.equal(config!.data.generation, 1);
  assert.deepEqual(config!.data.rules[0], {
    name: "game",
    ports: "8080,27015-27016",
    addresses: "own",
    worker: 0,
    action: "count",
    ends: "worker",
  });
  assert.equal(messages.filter(({ event, data }) => event === "log" && data.message === "before").length, 1);
  assert.equal(messages.at(-1)!.data.generation, 1);
  response.emit("close");
});

Deno.test("a stream sends a tick a second, the rules when they changed, and each line of the log once", () => {
  using rig = new Rig();
  const [one, other] = [rig.watch(), rig.watch()];
  one.take();
  const { api } = rig;
  api.seconds.pass();
  assert.deepEqual(one.events(), ["tick"]);
  say("a\nb");
  const [line, ...none] = one.take();
  assert.deepEqual([line!.event, line!.id, line!.data.message, none], ["log", `${line!.data.id}`, "a\\nb", []]);
  api.seconds.pass();
  assert.deepEqual(one.events(), ["tick"]);
  api.appliance.setRules([countRule("new", 1)]);
  api.appliance.stage = "stopping";
  api.seconds.pass();
  const [config, tick] = one.take();
  assert.deepEqual([config!.event, config!.data.generation, config!.data.rules.length], ["config", 2, 1]);
  assert.deepEqual([tick!.event, tick!.data.generation, tick!.data.ready], ["tick", 2, false]);
  api.seconds.pass();
  assert.deepEqual(one.events(), ["tick"]);
  assert.deepEqual(other.events().slice(-6), ["tick", "log", "tick", "config", "tick", "tick"]);
  one.emit("close");
  other.emit("close");
});

Deno.test("a stream leaves ticks out for a watcher that does not read, tells it the rest when it does, and cuts it off after ten", () => {
  using rig = new Rig();
  const { api } = rig;
  const [lazy, good] = [rig.watch(), rig.watch()];
  for (const response of [lazy, good]) response.take();
  lazy.writableLength = BUFFER + 1;
  for (let second = 0; second < 9; second++) {
    say(`line ${second}`);
    api.seconds.pass();
  }
  api.appliance.setRules([countRule("new", 1)]);
  assert.deepEqual(lazy.events(), []);
  assert.equal(good.events().filter((event) => event === "tick").length, 9);
  lazy.writableLength = BUFFER;
  api.seconds.pass();
  const missed = lazy.take();
  assert.deepEqual(missed.map(({ event }) => event), ["config", ...new Array(9).fill("log"), "tick"]);
  assert.deepEqual(
    missed.slice(1, -1).map(({ data }) => data.message),
    Array.from({ length: 9 }, (_, index) => `line ${index}`),
  );
  lazy.writableLength = BUFFER + 1;
  for (let second = 0; second < 9; second++) api.seconds.pass();
  assert.equal(lazy.destroyed, false);
  api.seconds.pass();
  assert.equal(lazy.destroyed, true);
  good.take();
  api.seconds.pass();
  assert.deepEqual([lazy.events(), good.events()], [[], ["tick"]]);
  good.emit("close");
});

Deno.test("a stream tells of backends, those in trouble and those that leave first, and of at most a hundred", () => {
  using rig = new Rig();
  const nextHop = { interface: "eth1", mac: "02:00:00:00:00:01", mtu: 1500 };
  rig.api.appliance.backends = Array.from({ length: 150 }, (_, index) => ({
    name: `10.0.0.${index}:53`,
    rules: index === 140 ? [] : ["dns"],
    sessions: index,
    ...QUIET_BACKEND,
    ...(index === 140 ? { drain: { by: "file" as const, since: null, until: null, movedTo: null } } : {}),
    leavingSeconds: index === 140 ? 5 : null,
    health: null,
    nextHop,
    noWay: index === 120 ? { kind: "down", interface: "eth1", text: "" } : null,
  }));
  const response = rig.watch();
  const { backends, backendCount } = response.take().at(-1)!.data;
  assert.deepEqual([backendCount, backends.length], [150, 100]);
  const first = backends.slice(0, 3).map(({ name, rules, mark }: Record<string, string>) => [name, rules, mark]);
  assert.deepEqual(first, [
    ["10.0.0.120:53", "dns", "bad"],
    ["10.0.0.140:53", "(leaving for 5 s)", "leaving"],
    ["10.0.0.0:53", "dns", "good"],
  ]);
  response.emit("close");
});

Deno.test("a stream sends a watcher that reads again the lines it missed before the next one", () => {
  using rig = new Rig();
  const response = rig.watch();
  response.take();
  response.writableLength = BUFFER + 1;
  say("one");
  say("two");
  response.writableLength = 0;
  say("three");
  rig.api.seconds.pass();
  assert.deepEqual(response.take().map(({ data: { message = "tick" } }) => message), ["one", "two", "three", "tick"]);
  response.emit("close");
});

Deno.test("a stream has room for 64 watchers, and for one more when one has left", () => {
  using rig = new Rig();
  const watchers = Array.from({ length: 64 }, () => rig.watch());
  assert.throws(
    () => rig.watch(),
    (error) => error instanceof HttpError && error.status === 503 && error.headers["retry-after"] === "5",
  );
  watchers.pop()!.emit("close");
  watchers.push(rig.watch());
  assert.throws(() => rig.watch(), HttpError);
  for (const response of watchers) response.emit("close");
});

Deno.test("a stream encodes a message once for all watchers, and nothing while there are none", () => {
  using rig = new Rig();
  const { history } = rig.api;
  const calls = { past: 0, latest: 0 };
  const { past, latest } = history;
  history.past = () => (calls.past++, past.call(history));
  history.latest = () => (calls.latest++, latest.call(history));
  const watchers = [rig.watch(), rig.watch(), rig.watch()];
  assert.deepEqual(calls, { past: 1, latest: 3 });
  rig.api.seconds.pass();
  assert.deepEqual(calls, { past: 1, latest: 4 });
  watchers.push(rig.watch());
  assert.deepEqual(calls, { past: 2, latest: 5 }, "a second later the past is another");
  for (const response of watchers) response.emit("close");
  rig.api.seconds.pass();
  say("nobody hears it");
  assert.deepEqual(calls, { past: 2, latest: 5 });
  const response = rig.watch();
  response.take();
  rig.api.seconds.pass();
  say("once");
  assert.deepEqual(response.events(), ["tick", "log"], "and goes on with the next");
  response.emit("close");
});

Deno.test("a client on a socket that does not read its stream is cut off, and one that reads gets every tick", async () => {
  using api = new FakeApi();
  const rules = Array.from({ length: 10 }, (_, index) => countRule(`rule-${index}`, index + 1));
  const longName = "x".repeat(1 << 15); // so that ten seconds fill a socket
  const { latest } = api.history;
  api.history.latest = () => ({ ...latest.call(api.history), longName });
  api.appliance.setRules(rules);
  const socket = await Deno.makeTempFile({ prefix: "xdpsteer-stream-" });
  await Deno.remove(socket);
  const server = await ControlServer.open({
    control: { socket, group: null, http: null, settle: 5 },
    options: api,
    start: () => new ThreadHere(),
  });
  const open = async (): Promise<Deno.UnixConn> => {
    const connection = await Deno.connect({ transport: "unix", path: socket });
    await connection.write(new TextEncoder().encode("GET /v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    return connection;
  };
  const [lazy, good] = [await open(), await open()];
  let ticks = 0;
  const reading = (async () => {
    let text = "";
    for await (const chunk of good.readable) {
      text += new TextDecoder().decode(chunk);
      ticks += text.split("event: tick\n").length - 1;
      text = text.slice(-20).replace("event: tick\n", "");
    }
  })();
  const until = async (what: string, condition: () => boolean): Promise<void> => {
    const end = performance.now() + 60_000;
    while (!condition()) {
      assert.ok(performance.now() < end, what);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  await until("the first tick", () => ticks === 1);
  let cutOff = false;
  const probing = (async () => {
    while (!cutOff) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      cutOff = await lazy.write(new Uint8Array([10])).then(() => false, () => true);
    }
  })();
  for (let seconds = 1; !cutOff; seconds++) {
    api.seconds.pass();
    await until("the next tick", () => ticks === 1 + seconds);
    assert.ok(seconds < 1000, "it was not cut off");
  }
  await probing;
  lazy.close();
  api.history[Symbol.dispose](); // ends the other
  await server.close();
  await reading;
});

Deno.test("a stream ends all streams with the history, and opens none after it", () => {
  const rig = new Rig();
  rig.fan.reserve();
  const { body, stream } = rig.api.streams.open();
  const response = rig.watch();
  rig.api[Symbol.dispose]();
  assert.equal(response.ended, true);
  assert.throws(() => rig.api.streams.open(), (error) => error instanceof HttpError && error.status === 503);
  const late = new FakeResponse();
  rig.fan.add(late as unknown as StreamResponse, body as string, stream!);
  assert.deepEqual([late.ended, late.text], [true, ""]);
  response.emit("close");
});
