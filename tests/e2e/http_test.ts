import assert from "node:assert/strict";
import { IPV4, TestNetwork } from "../support/netns.ts";
import { fatesOf, settled } from "./support/accounts.ts";
import { type Appliance, openFiles, startAppliance } from "./support/appliance.ts";
import { SteadyTraffic } from "./support/background.ts";
import { finish, TempDir } from "./support/command.ts";
import { crawl, crowd, fuzz, type RawAnswer, sendRaw } from "./support/http_clients.ts";
import { refusedFrames } from "./support/link.ts";
import { memoryKib } from "./support/memory.ts";
import { untilWatched } from "./support/tracepoints.ts";
import { echoEach } from "./support/python.ts";
import { SIZE } from "../support/sizes.ts";
import { until } from "./support/wait.ts";

const PORT = 9469;
const RULES = [
  "{ name: game, ports: 8080, worker: 0 }",
  "{ name: chat, ports: 9090, worker: 1 }",
  "{ name: echo, ports: 7777, worker: 1, action: echo }",
];
const CONFIG = { rules: RULES, http: `127.0.0.1:${PORT}` };
const TRAFFIC = { ports: [8080, 9090], flows: 200, cpus: [0, 1] };

const GET = (path: string, ...headers: string[]): string =>
  [`GET ${path} HTTP/1.1`, "Connection: close", ...headers, "", ""].join("\r\n");

async function ask(network: TestNetwork, ...requests: string[]): Promise<RawAnswer[]> {
  return await sendRaw(network, requests.map((bytes) => ({ to: PORT, bytes })));
}

Deno.test("over TCP it answers to loopback names only, to no page of another origin, and nothing that changes", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const statuses = async (...requests: string[]): Promise<number[]> =>
    (await ask(network, ...requests)).map(({ status }) => status);

  const names = ["localhost", `localhost:${PORT}`, "127.0.0.1", "127.9.8.7:1", "[::1]:8080", "LocalHost"];
  assert.deepEqual(await statuses(...names.map((name) => GET("/healthz", `Host: ${name}`))), names.map(() => 200));
  const others = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example:80",
    "192.168.1.1",
    "[::2]",
    "",
    "a b",
  ];
  const refused = await statuses(...others.map((name) => GET("/v1/status", `Host: ${name}`)));
  for (const [index, status] of refused.entries()) {
    assert.ok([400, 421].includes(status), `${others[index]}: ${status}`);
  }
  assert.deepEqual(await statuses(GET("/healthz")), [400]); // HTTP/1.1 asks for one
  assert.deepEqual(
    await statuses(
      GET("/v1/status", `Host: localhost:${PORT}`, `Origin: http://localhost:${PORT}`),
      GET("/v1/status", `Host: localhost:${PORT}`, "Origin: http://evil.example"),
      GET("/v1/status", `Host: localhost:${PORT}`, "Origin: null"),
    ),
    [200, 403, 403],
  );

  const paths = ["/v1/config", "/v1/reload", "/v1/status", "/metrics", "/v1/ports"];
  for (const method of ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"]) {
    const answers = await ask(
      network,
      ...paths.map((path) => GET(path, "Host: localhost", "Content-Length: 0").replace("GET", method)),
    );
    for (const [index, { status, headers }] of answers.entries()) {
      // Of what changes something there is nothing to allow here.
      const onSocketOnly = paths[index] === "/v1/reload";
      assert.equal(status, onSocketOnly ? 403 : 405, `${method} ${paths[index]}`);
      assert.equal(headers.allow, onSocketOnly ? undefined : "GET, HEAD");
    }
  }
  assert.equal((await box.status()).generation, 1);

  for (
    const { headers } of await ask(network, GET("/metrics", "Host: localhost"), GET("/nowhere", "Host: localhost"))
  ) {
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.deepEqual(Object.keys(headers).filter((name) => name.startsWith("access-control-")), []);
  }
  // HEAD is GET without the body.
  const [head, get] = await ask(
    network,
    GET("/healthz", "Host: localhost").replace("GET", "HEAD"),
    GET("/healthz", "Host: localhost"),
  );
  assert.deepEqual([head!.status, head!.body, get!.body], [200, "", "ok\n"]);
  assert.equal(head!.headers["content-length"], get!.headers["content-length"]);
});

Deno.test("the control socket is its owner's alone, or also a group's", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  await Deno.chmod(directory.path, 0o755);
  const gid = 54_321;
  const options = { directory: directory.path };
  const asGroup = async (box: Appliance, group: number): Promise<string> => {
    const script = `import socket
s = socket.socket(socket.AF_UNIX)
try: s.connect("${box.socket}"); print("in")
except PermissionError: print("out")`;
    const user = ["setpriv", "--reuid=65534", `--regid=${group}`, "--clear-groups"];
    return (await finish(network, [...user, "/usr/bin/python3", "-c", script])).stdout.trim();
  };
  {
    await using box = await startAppliance(network, CONFIG, options);
    assert.equal(Deno.statSync(box.socket).mode! & 0o777, 0o600);
    assert.equal(await asGroup(box, gid), "out");
  }
  {
    const as = ["setpriv", "--groups", `${gid}`]; // root without CAP_CHOWN gives its files to groups of its own only
    await using box = await startAppliance(network, { ...CONFIG, group: gid }, { ...options, as });
    const { mode, gid: group, uid } = Deno.statSync(box.socket);
    assert.deepEqual([mode! & 0o777, group, uid], [0o660, gid, 0]);
    assert.equal(await asGroup(box, gid), "in");
    assert.equal(await asGroup(box, gid + 1), "out");
  }
  const nobody = { ...CONFIG, group: "no-such-group" };
  await assert.rejects(startAppliance(network, nobody, options), /There is no group \\?"no-such-group/);
});

const ODD_REQUESTS = SIZE.oddRequests;

Deno.test("thousands of malformed, huge and odd requests: right answers, no crash, nothing leaks, packets go on", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  const to = [PORT, box.socket];
  await fuzz(network, { to, count: 2000, seed: 1 }); // what is loaded and compiled once
  const files = openFiles(box);
  const memory = memoryKib(box);
  await using traffic = await SteadyTraffic.start(network, box, TRAFFIC);

  const counts = await fuzz(network, { to, count: ODD_REQUESTS, seed: 2 });
  assert.deepEqual(box.log.filter(({ message }) => message.startsWith("A request failed")).slice(0, 3), []);
  const possible = new Set([
    "0",
    "200",
    "400",
    "403",
    "404",
    "405",
    "408",
    "413",
    "414",
    "417",
    "421",
    "422",
    "431",
    "505",
  ]);
  assert.deepEqual(Object.keys(counts).filter((status) => !possible.has(status)), [], JSON.stringify(counts));
  assert.equal(Object.values(counts).reduce((sum, count) => sum + count, 0), ODD_REQUESTS);
  for (const status of ["200", "400", "404", "405", "421", "422", "431"]) {
    assert.ok(counts[status]! > 0, `${status} in ${JSON.stringify(counts)}`);
  }

  const { sent } = await traffic.stop();
  const status = await settled(box);
  assert.equal(status.totals.received + await refusedFrames(network), sent);
  assert.equal(status.generation, 1);
  await until("no file left open", () => openFiles(box) <= files + 4, { describe: () => [files, openFiles(box)] });
  // V8 lets its heap grow to several times what is in use before it collects.
  assert.ok(memoryKib(box) < memory + 96 * 1024, `${memoryKib(box)} KiB resident, ${memory} before`);

  const body = "x".repeat((1 << 20) + 1);
  const { code } = await box.request("PUT", "/v1/config", body);
  assert.equal(code, 413);
});

Deno.test("clients that are slow, or many, are cut off; the control socket and the packets do not notice", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  await untilWatched(box);
  const files = openFiles(box);
  await using traffic = await SteadyTraffic.start(network, box, TRAFFIC);
  const crowds = Promise.all([
    crawl(network, { to: PORT, count: 100, bytes: "" }),
    crawl(network, { to: PORT, count: 100, bytes: "GET /v1/status HTTP/1.1\r\nHost: local" }),
    crawl(network, {
      to: PORT,
      count: 300,
      bytes: "PUT /v1/config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
    }),
  ]);
  crowds.catch(() => {}); // awaited below
  await until("the crowds", () => openFiles(box) > files + 20);
  for (let question = 0; question < 10; question++) await box.status();
  for (const seconds of (await crowds).flat()) assert.ok(seconds !== null, "a slow client was not cut off");
  const { sent } = await traffic.stop();
  const status = await settled(box);
  assert.equal(status.totals.received + await refusedFrames(network), sent);
  // A connection that was cut off is closed a little later.
  await until("no file left open", () => openFiles(box) <= files + 4, { describe: () => [files, openFiles(box)] });
  assert.equal((await ask(network, GET("/healthz", "Host: localhost")))[0]!.status, 200);
});

Deno.test("fifty clients that scrape and stream while packets flow: none is lost", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, CONFIG);
  await using traffic = await SteadyTraffic.start(network, box, TRAFFIC);
  const { statuses, streamed } = await crowd(network, {
    to: PORT,
    scrapers: 25,
    streams: 25,
    scrapes: 10,
    pause: 0.2,
  });
  assert.deepEqual(await echoEach(network, { address: IPV4.steer, port: 7777, sizes: [1, 100, 1400] }), []);
  const report = await traffic.stop();

  assert.deepEqual(Object.keys(statuses), ["200"], JSON.stringify(statuses));
  assert.equal(statuses["200"], 250);
  assert.equal(streamed.length, 25);
  for (const bytes of streamed) assert.ok(bytes > 1000, `a stream of ${bytes} bytes`);
  const status = await settled(box);
  assert.equal(status.totals.socketDrops, 0);
  assert.equal(status.totals.verdicts.redirect, report.sent + 3 - await refusedFrames(network));
  assert.deepEqual(fatesOf(status, "game"), { counted: report.sentPerPort["8080"] });
});
