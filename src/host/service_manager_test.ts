import assert from "node:assert/strict";
import { SteerError } from "../errors.ts";
import { beatMs, notification, ServiceManager, socketAddress } from "./service_manager.ts";

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const SOON_MS = 30_000;

/** Waits until there are `count` messages. */
async function untilSent(sent: readonly string[], count: number): Promise<void> {
  const deadline = performance.now() + SOON_MS;
  while (sent.length < count && performance.now() < deadline) await sleep(1);
  assert.ok(sent.length >= count, `${sent.length} messages of ${count}`);
}

Deno.test("a message has a field a line, and a value cannot make another field", () => {
  assert.equal(notification({ WATCHDOG: 1 }), "WATCHDOG=1");
  assert.equal(notification({ RELOADING: 1, MONOTONIC_USEC: 12n }), "RELOADING=1\nMONOTONIC_USEC=12");
  assert.equal(notification({ STATUS: "a file\nSTOPPING=1\r\nand more" }), "STATUS=a file STOPPING=1 and more");
  assert.equal(notification({ STATUS: "e\x1b[31m\x9b.yaml" }), "STATUS=e\\x1b[31m\\x9b.yaml");
});

Deno.test("a socket's address is a path with a NUL behind it, or an abstract name with one before it", () => {
  assert.deepEqual([...socketAddress("/a")], [1, 0, 0x2f, 0x61, 0]);
  assert.deepEqual([...socketAddress("@a")], [1, 0, 0, 0x61]);
  assert.equal(socketAddress(`/${"a".repeat(106)}`).byteLength, 110);
  assert.equal(socketAddress(`@${"a".repeat(107)}`).byteLength, 110);
  for (const bad of ["", "/", "@", "relative", "vsock:2:1234", `/${"a".repeat(107)}`, `@${"a".repeat(108)}`]) {
    assert.throws(() => socketAddress(bad), SteerError, bad);
  }
});

Deno.test("it beats four times in the time given, and only where it is this process that is watched", () => {
  assert.equal(beatMs({ WATCHDOG_USEC: "200000" }, 7), 50);
  assert.equal(beatMs({ WATCHDOG_USEC: "200000", WATCHDOG_PID: "7" }, 7), 50);
  assert.equal(beatMs({ WATCHDOG_USEC: "200000", WATCHDOG_PID: "8" }, 7), undefined);
  assert.equal(beatMs({ WATCHDOG_PID: "7" }, 7), undefined);
  for (const usec of ["", "0", "-1", "1.5", "soon"]) assert.equal(beatMs({ WATCHDOG_USEC: usec }, 7), undefined, usec);
  assert.equal(beatMs({ WATCHDOG_USEC: "18446744073709551615" }, 7), 0x7fffffff, "not more than a timer can wait");
});

Deno.test("the beat stops while it is not healthy, comes back with its health, and ends with the stop", async () => {
  const sent: string[] = [];
  using manager = new ServiceManager({ send: (message) => sent.push(message), beatMs: 2 });
  let isHealthy = true;
  manager.ready("Generation 1 is in force");
  manager.beatWhile(() => isHealthy);
  await untilSent(sent, 5);
  assert.deepEqual(sent.slice(0, 4), ["READY=1", "STATUS=Generation 1 is in force", "WATCHDOG=1", "WATCHDOG=1"]);

  isHealthy = false;
  const before = sent.length;
  await sleep(50);
  assert.equal(sent.length, before);
  isHealthy = true;
  await untilSent(sent, before + 2);

  manager.stopping();
  manager.ready("a change that was under way");
  const stopped = sent.length;
  await sleep(20);
  assert.equal(sent.length, stopped);
  assert.equal(sent.at(-1), "STOPPING=1\nSTATUS=Detaching, then draining");
});

Deno.test("a status is short, whatever is wrong, and being ready does not depend on it", () => {
  const sent: string[] = [];
  using manager = new ServiceManager({ send: (message) => sent.push(message) });
  manager.trouble(Array.from({ length: 1000 }, (_, at) => `rule-${at} 😀\x1b`).join("; "));
  manager.ready("Generation 2 is in force");
  assert.deepEqual(sent.map((message) => message.replace(/=.*/, "")), ["STATUS", "READY", "STATUS"]);
  assert.match(sent[2]!, /^STATUS=Generation 2 is in force\. rule-0 .* rule-\d+ .*…$/);
  for (const message of sent) assert.ok(new TextEncoder().encode(message).length < 4096, message);
});

Deno.test("a message that cannot be sent is no failure, and the next one is tried", () => {
  let tried = 0;
  using manager = new ServiceManager({
    send: () => {
      tried++;
      throw new Error("nobody listens");
    },
  });
  manager.ready("a");
  manager.ready("b");
  assert.equal(tried, 4);
});

Deno.test("the variables are taken out of the environment, used or not", () => {
  const names = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
  for (const socket of ["", "/nowhere/notify"]) {
    for (const name of names) Deno.env.set(name, name === "NOTIFY_SOCKET" ? socket : "1");
    using _manager = ServiceManager.fromEnvironment();
    for (const name of names) assert.equal(Deno.env.get(name), undefined, name);
  }
});
