import assert from "node:assert/strict";
import { configureLog, type LogEvent, logger, onEvent, recentEvents } from "./log.ts";

// Nothing of this file is printed: the tests log up to warnings.
configureLog({ level: "error", format: "json" });
const log = logger("test");

Deno.test("recentEvents() keeps the last 200 from info on, whatever is printed", () => {
  log.debug("not kept");
  for (let number = 0; number < 250; number++) log.info("event {number}", { number });
  const events = recentEvents();
  assert.equal(events.length, 200);
  assert.deepEqual(events.map(({ message }) => message), Array.from({ length: 200 }, (_, at) => `event ${at + 50}`));
  assert.deepEqual(events.map(({ id }) => id), Array.from({ length: 200 }, (_, at) => events[0]!.id + at));
  const { time, level, logger: name } = events[0]!;
  assert.deepEqual({ level, name }, { level: "info", name: "xdpsteer.test" });
  assert.equal(new Date(time).toISOString(), time);
});

Deno.test("recentEvents() gives a copy, and its messages are one line that steers no terminal", () => {
  const before = recentEvents();
  log.warn("Interface {interface} is gone", { interface: "a\r\nb\x1b[2J\u009b\u2028\u202ec" });
  assert.equal(before.at(-1)!.message, "event 249");
  const { level, message } = recentEvents().at(-1)!;
  assert.equal(level, "warning");
  assert.equal(message, "Interface a\\r\\nb\\x1b[2J\\x9b\\u2028\\u202ec is gone");
});

Deno.test("onEvent() tells every listener until it ends, also beside one that throws", () => {
  const heard: LogEvent[] = [];
  const listener = (event: LogEvent): void => void heard.push(event);
  const ends = [
    onEvent(() => {
      throw new Error("a listener's own fault");
    }),
    onEvent(listener),
    onEvent(listener),
  ];
  log.debug("not told");
  log.info("first");
  ends[1]!();
  ends[1]!();
  log.info("second");
  for (const end of ends) end();
  log.info("third");
  assert.deepEqual(heard.map(({ message }) => message), ["first", "first", "second"]);
  assert.deepEqual(heard[2], recentEvents().at(-2));
});

Deno.test("configureLog() again keeps events and listeners", () => {
  const heard: string[] = [];
  const end = onEvent(({ message }) => heard.push(message));
  configureLog({ level: "error", format: "text" });
  log.info("after");
  end();
  assert.deepEqual(heard, ["after"]);
  assert.equal(recentEvents().at(-2)!.message, "third");
});

Deno.test("recentEvents() keeps the beginning of what is very long", () => {
  log.info("changed: {changes}", { changes: "x".repeat(500_000) });
  const { message } = recentEvents().at(-1)!;
  assert.ok(message.length < 10_000, `${message.length} characters`);
  assert.match(message, /^changed: x+…$/);
});
