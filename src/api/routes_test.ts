import assert from "node:assert/strict";
import { type Answered, ask, type Question } from "../../tests/support/ask.ts";
import { CONFIG_TEXT, FakeApi, REFUSED } from "../../tests/support/fake_api.ts";
import { LogRecords } from "../../tests/support/log_records.ts";
import { TRANSLATION_PORTS } from "../steering/slots.ts";
import { VERSION } from "../version.ts";
import { generationTag, START_ID } from "./conditions.ts";

const BODY_LIMIT = 1 << 20;
const tag = (generation: number): string => generationTag(generation).etag!;

/** Every path, and what may be done there. */
const METHODS: Readonly<Record<string, readonly string[]>> = {
  "/": ["GET"],
  "/livez": ["GET"],
  "/healthz": ["GET"],
  "/readyz": ["GET"],
  "/metrics": ["GET"],
  "/v1/status": ["GET"],
  "/v1/problems": ["GET"],
  "/v1/config": ["GET", "PUT"],
  "/v1/stream": ["GET"],
  "/v1/sources": ["GET"],
  "/v1/ports": ["GET", "POST", "DELETE"],
  "/v1/reload": ["POST"],
  "/v1/bans": ["GET", "POST", "DELETE"],
  "/dashboard/style.css": ["GET"],
};

Deno.test("route() answers GET and HEAD alike, on the socket and over TCP", async () => {
  using api = new FakeApi();
  for (const [url, methods] of Object.entries(METHODS)) {
    if (!methods.includes("GET")) continue;
    for (const mayChange of [true, false]) {
      const [get, head] = [await ask(api, { url, mayChange }), await ask(api, { url, mayChange, method: "HEAD" })];
      assert.equal(get.status, 200, url);
      assert.equal(head.status, 200, url);
      assert.equal(head.headers["content-type"], get.headers["content-type"], url);
    }
  }
});

Deno.test("route() refuses other methods with 405 and those that it takes, and over TCP all that change anything", async () => {
  using api = new FakeApi();
  for (const [url, methods] of Object.entries(METHODS)) {
    for (const method of ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "toString", "__proto__"]) {
      for (const mayChange of [true, false]) {
        const possible = methods.filter((each) => mayChange || each === "GET");
        if (possible.includes(method)) continue;
        const { status, headers, json } = await ask(api, { url, method, mayChange, body: CONFIG_TEXT });
        const what = `${method} ${url} ${mayChange ? "" : "over TCP"}`;
        if (possible.length === 0) {
          assert.equal(status, 403, what);
          assert.match(json.error, /control socket only: \/run\/xdpsteer\/control.sock/);
          continue;
        }
        if (methods.includes(method)) assert.match(json.error, /control socket only: \/run\//, what);
        assert.equal(status, 405, what);
        const expected = possible.flatMap((each) => each === "GET" ? ["GET", "HEAD"] : [each]);
        assert.deepEqual(headers.allow!.split(", ").sort(), expected.sort(), what);
        assert.ok(json.error.includes(method), json.error);
      }
    }
  }
  assert.equal(api.reloader.counts.applied, 0);
  assert.equal(api.appliance.steering.generation, 1);
});

Deno.test("route() says what there is where there is nothing", async () => {
  using api = new FakeApi();
  for (
    const url of ["/nowhere", "/v1", "/v1/status/", "/V1/status", "//v1/status", "/toString", "/__proto__", "/metricsx"]
  ) {
    const { status, json } = await ask(api, { url });
    assert.equal(status, 404, url);
    assert.match(json.error, /there is \/, \/livez, /);
  }
  assert.equal((await ask(api, { url: "/dashboard/nothing.js" })).status, 404);
  assert.equal((await ask(api, { url: "/dashboard/../v1/status" })).status, 200, "as every client reads it");
  assert.equal((await ask(api, { url: "" })).status, 400);
  assert.equal((await ask(api, { url: "http://[" })).status, 400);
  assert.equal((await ask(api, { url: "http://anywhere.example/healthz?x=1#y" })).status, 200);
});

Deno.test("/v1/status, /v1/config and /metrics tell what is in force", async () => {
  using api = new FakeApi();
  api.appliance.serve("game", 0, 1, "counted", 12);
  const { json: status } = await ask(api, { url: "/v1/status" });
  assert.deepEqual(
    [status.version, status.pid, status.configFile, status.generation, status.ready, status.lastReload],
    [VERSION, Deno.pid, api.configFile, 1, true, null],
  );
  assert.equal(status.workerHeapKib, undefined);
  const heap = await ask(api, { url: "/v1/status?heap" });
  assert.deepEqual(heap.json.workerHeapKib, [1000, 1001]);
  assert.equal((await ask(api, { url: "/v1/status?heap", mayChange: false })).status, 403);
  assert.equal(status.totals.fates.counted, 12);
  const names = status.rules.map(({ name }: { name: string }) => name);
  assert.deepEqual([names, status.translationPorts], [["game", "chat"], null]);
  const { json: config, headers } = await ask(api, { url: "/v1/config" });
  assert.equal(headers.etag, tag(1));
  assert.equal(config.steering.length, 2);
  const metrics = await ask(api, { url: "/metrics" });
  assert.match(metrics.headers["content-type"]!, /^text\/plain; version=/);
  assert.match(
    metrics.body as string,
    /^xdpsteer_rule_packets_total\{rule="game",worker="0",fate="counted",direction="in"\} 12$/m,
  );
});

Deno.test("backends' answers stand with their rule, what is of no session beside the rules, and all sums contain both", async () => {
  using api = new FakeApi();
  const { slots, steering } = api.appliance;
  slots.plan([...steering.rules.map(({ name }) => name), TRANSLATION_PORTS], steering.generation + 1).flip();
  api.appliance.answer("game", 0, 1, "returned", 7);
  api.appliance.answer("game", 1, 0, "too_big", 2);
  api.appliance.serve(TRANSLATION_PORTS, 0, 1, "no_session", 3);
  const { json: status } = await ask(api, { url: "/v1/status" });
  assert.deepEqual(status.rules.map(({ name }: { name: string }) => name), ["game", "chat"]);
  const { fates, received, verdicts } = status.totals;
  assert.deepEqual([fates.returned, fates.too_big, fates.no_session, received, verdicts.redirect], [7, 2, 3, 12, 12]);
  assert.deepEqual(status.workers.map((worker: { received: number }) => worker.received), [10, 2]);
  const [game, chat] = status.rules;
  assert.deepEqual([game.answers[0].fates.returned, game.answers[1].fates.too_big.packets], [
    { packets: 7, bytes: 420 },
    2,
  ]);
  assert.deepEqual([game.workers[0].fates.returned.packets, chat.answers], [0, []]);
  assert.deepEqual([status.translationPorts.redirected.packets, status.translationPorts.inForce], [12, false]);
  const metrics = (await ask(api, { url: "/metrics" })).body as string;
  const samples = [
    'xdpsteer_rule_packets_total{rule="game",worker="0",fate="returned",direction="back"} 7',
    'xdpsteer_rule_packets_total{rule="game",worker="1",fate="too_big",direction="back"} 2',
    'xdpsteer_rule_packets_total{rule="(translation ports)",worker="0",fate="no_session",direction="back"} 3',
    'xdpsteer_worker_received_packets_total{rule="game",worker="1",interface="lo",queue="0",direction="back"} 2',
  ];
  for (const sample of samples) assert.ok(metrics.split("\n").includes(sample), sample);
});

Deno.test("PUT /v1/config puts a text in force, or says in which line what is wrong", async () => {
  using api = new FakeApi();
  const put = (body: Question["body"]): Promise<Answered> =>
    ask(api, { method: "PUT", url: "/v1/config", body: body! });
  const applied = await put(CONFIG_TEXT.replace("8080", "8081"));
  assert.deepEqual([applied.status, applied.json.generation], [200, 2]);
  const { status, json } = await put(CONFIG_TEXT.replace("worker: 1", "worker: 7"));
  assert.equal(status, 422);
  assert.match(json.error, /^request body:6:\d+: /);
  assert.equal(json.problems.length, 1);
  assert.equal(json.hint, null);
  assert.equal((await put("")).status, 422);
  assert.equal((await put(Uint8Array.of(0xff, 0xfe, 0x00))).status, 422);
  assert.equal(api.appliance.steering.generation, 2);
});

Deno.test("a body of more than 1 MiB is refused with 413 and not read further, and one that ends early with 400", async () => {
  using api = new FakeApi();
  const put = (body: Question["body"]): Promise<Answered> =>
    ask(api, { method: "PUT", url: "/v1/config", body: body! });
  const fits = await put(CONFIG_TEXT + "#".repeat(BODY_LIMIT - CONFIG_TEXT.length));
  assert.equal(fits.status, 200, JSON.stringify(fits.json));
  let read = 0;
  const endless = async function* (): AsyncGenerator<Uint8Array> {
    for (;; read++) yield await Promise.resolve(new Uint8Array(1 << 16));
  };
  const large = await put(endless());
  assert.deepEqual([large.status, large.headers.connection], [413, "close"]);
  assert.ok(read < 40, `${read} pieces of 64 KiB were read`);
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(new Uint8Array(10));
    throw new Error("aborted");
  };
  const early = await put(broken());
  assert.deepEqual([early.status, early.headers.connection], [400, "close"]);
  assert.match(early.json.error, /ended early: aborted/);
});

Deno.test("POST /v1/reload answers 422 with the hint when it is refused, and 500 without a word of it for our own mistakes", async () => {
  using log = new LogRecords();
  using api = new FakeApi();
  const reload = (): Promise<Answered> => ask(api, { method: "POST", url: "/v1/reload" });
  assert.deepEqual([(await reload()).status, api.appliance.steering.generation], [200, 2]);
  api.reloader.content = REFUSED;
  const refused = await reload();
  assert.deepEqual([refused.status, refused.json], [422, { error: REFUSED.message, hint: REFUSED.hint }]);
  assert.deepEqual(log.lines, []);
  api.reloader.content = new TypeError("cannot read properties of undefined");
  const failed = await reload();
  assert.deepEqual([failed.status, failed.json], [500, { error: "internal error" }]);
  assert.deepEqual(log.lines, ["error: A request failed: cannot read properties of undefined"]);
});

Deno.test("GET /v1/ports lists all ports in ascending order", async () => {
  using api = new FakeApi();
  const { json } = await ask(api, { url: "/v1/ports" });
  assert.equal(json.generation, 1);
  assert.deepEqual(
    json.ports.map(({ first, last, rule }: Record<string, unknown>) => [first, last, rule]),
    [[8080, 8080, "game"], [9090, 9090, "chat"], [27015, 27016, "game"]],
  );
});

const portsIn = async (api: FakeApi): Promise<unknown> =>
  (await ask(api, { url: "/v1/ports" })).json.ports.map(({ first, last, rule, worker }: Record<string, unknown>) =>
    `${first}-${last} ${rule} ${worker}`
  );

Deno.test("POST and DELETE /v1/ports move ports, and save only when asked to", async () => {
  using api = new FakeApi();
  const set = (order: unknown): Promise<Answered> =>
    ask(api, { method: "POST", url: "/v1/ports", body: JSON.stringify(order) });
  const first = await set({ ports: "8080", worker: 1, rule: "chat" });
  assert.deepEqual([first.status, first.json.saved], [200, false]);
  assert.deepEqual(await portsIn(api), ["8080-8080 chat 1", "9090-9090 chat 1", "27015-27016 game 0"]);
  assert.equal((await set({ ports: [4000], worker: 0, rule: "new", save: true })).json.saved, true);
  const gone = await ask(api, { method: "DELETE", url: "/v1/ports?ports=4000,27016&save=true" });
  assert.deepEqual([gone.status, gone.json.saved], [200, true]);
  const again = await ask(api, { method: "DELETE", url: "/v1/ports?ports=27015&save=false" });
  assert.deepEqual([again.status, again.json.saved], [200, false]);
  const both = await ask(api, { method: "DELETE", url: "/v1/ports?ports=9090&ports=8080" });
  assert.equal(both.status, 200);
  assert.deepEqual(await portsIn(api), []);
  assert.deepEqual(api.reloader.saved, [false, true, true, false, false]);
  assert.equal((await ask(api, { method: "DELETE", url: "/v1/ports?ports=27015&save=yes" })).status, 400);
});

Deno.test("a change is refused with 412 on top of another generation, and ?dry_run changes nothing", async () => {
  using api = new FakeApi();
  const text = CONFIG_TEXT.replace("8080", "8081");
  const changes: readonly Question[] = [
    { method: "PUT", url: "/v1/config", body: text },
    { method: "POST", url: "/v1/ports", body: '{ "ports": 8080, "worker": 1, "rule": "chat" }' },
    { method: "DELETE", url: "/v1/ports?ports=8080" },
    { method: "POST", url: "/v1/reload" },
  ];
  api.reloader.content = text;
  for (const change of changes) {
    const stale = await ask(api, { ...change, headers: { "if-match": `${tag(7)}, ${tag(0)}` } });
    assert.deepEqual([stale.status, stale.headers.etag, stale.json.generation], [412, tag(1), 1]);
    const url = `${change.url}${change.url.includes("?") ? "&" : "?"}dry_run`;
    const dry = await ask(api, { ...change, url, headers: { "if-match": `${tag(7)}, ${tag(1)}` } });
    assert.deepEqual([dry.status, dry.json.generation, dry.json.dryRun], [200, 1, true]);
    assert.ok(dry.json.changes.length > 0);
    assert.deepEqual(dry.headers.etag, tag(1));
    for (const more of ["=perhaps", "&dry_run=false", "&dryrun"]) {
      assert.equal((await ask(api, { ...change, url: `${url}${more}` })).status, 400, more);
    }
    for (const other of ['"1"', '"01"', `W/${tag(1)}`, `"${START_ID}-01"`, '"other-1"', `"x${START_ID}-1"`, '""']) {
      assert.equal((await ask(api, { ...change, headers: { "if-match": other } })).status, 412, other);
    }
    for (const no of ["", "1", `${START_ID}-1`, `${tag(1)}, *`, `${tag(1)} ${tag(2)}`]) {
      assert.equal((await ask(api, { ...change, headers: { "if-match": no } })).status, 400, no);
    }
  }
  assert.equal(api.appliance.steering.generation, 1);
  const done = await ask(api, { ...changes[0]!, headers: { "if-match": tag(1) } });
  assert.deepEqual([done.status, done.headers.etag, done.json.dryRun], [200, tag(2), false]);
});

const BAD_ORDERS: readonly (readonly [body: string, status: number, says: RegExp])[] = [
  ["", 400, /not JSON/],
  ["{", 400, /not JSON/],
  ["null", 400, /no JSON object: expected one with ports, addresses, worker/],
  ["[]", 400, /no JSON object/],
  ['"8080"', 400, /no JSON object/],
  ['{ "port": 8080 }', 400, /unknown key "port": expected ports, addresses, worker/],
  ['{ "__proto__": 1, "ports": 1 }', 400, /unknown key "__proto__"/],
  ['{ "ports": 8080, "worker": 0, "save": "yes" }', 400, /"save" is not true or false/],
  ["{}", 422, /worker/],
  ['{ "ports": 8080 }', 422, /worker/],
  ['{ "ports": {}, "worker": 0 }', 422, /port/],
  ['{ "ports": [[]], "worker": 0 }', 422, /port/],
  ['{ "ports": 8080, "worker": [0] }', 422, /worker/],
  ['{ "ports": 0, "worker": 0 }', 422, /port/],
  ['{ "ports": 8080, "worker": 9 }', 422, /worker/],
  ['{ "ports": 8080, "worker": 0, "action": "fly" }', 422, /action/],
  ['{ "ports": 8080, "worker": 0, "rule": "no such name!" }', 422, /name/],
];

Deno.test("POST /v1/ports says what is wrong with an order, and changes nothing", async () => {
  using api = new FakeApi();
  for (const [body, status, says] of BAD_ORDERS) {
    const answer = await ask(api, { method: "POST", url: "/v1/ports", body });
    assert.equal(answer.status, status, `${body}: ${JSON.stringify(answer.json)}`);
    assert.match(answer.json.error, says, body);
  }
  for (
    const query of ["", "?ports=", "?ports=x", "?ports=0", "?ports=1-", "?ports=70000"]
  ) {
    const answer = await ask(api, { method: "DELETE", url: `/v1/ports${query}` });
    assert.equal(answer.status, 422, `${query}: ${JSON.stringify(answer.json)}`);
  }
  for (
    const { method, url, body = "" } of [
      { method: "DELETE", url: "/v1/ports?port=8080" },
      { method: "DELETE", url: "/v1/ports?ports=8080&dryrun" },
      { method: "POST", url: "/v1/ports?dryrun", body: JSON.stringify({ ports: 8080, worker: 0 }) },
      { method: "PUT", url: "/v1/config?dryrun", body: "version: 1" },
      { method: "POST", url: "/v1/reload?dryrun" },
    ]
  ) {
    const answer = await ask(api, { method, url, body });
    assert.equal(answer.status, 400, url);
    assert.match(answer.json.error, /unknown word "(port|dryrun)" in the query: expected dry_run/);
  }
  assert.equal(api.appliance.steering.generation, 1);
});

Deno.test("every file that the dashboard's page names is there, and the page may run nothing else", async () => {
  using api = new FakeApi();
  const page = await ask(api, { url: "/" });
  const text = new TextDecoder().decode(page.body as Uint8Array);
  assert.match(page.headers["content-security-policy"]!, /default-src 'none'.*script-src 'self'/);
  const named = [...text.matchAll(/(?:src|href)="\/?(dashboard\/[^"]+)"/g)].map(([, path]) => `/${path}`);
  assert.ok(named.length >= 3, `${named}`);
  for (const url of named) {
    const file = await ask(api, { url });
    assert.equal(file.status, 200, url);
    assert.equal(file.headers["x-content-type-options"], "nosniff");
  }
  assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)/, "no script in the page itself");
});
