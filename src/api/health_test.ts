import assert from "node:assert/strict";
import { ask } from "../../tests/support/ask.ts";
import { FakeApi } from "../../tests/support/fake_api.ts";
import { type Problem, PROBLEM_KINDS } from "../observe/problems/kinds.ts";

type Health = readonly [status: number, body: string];

async function health(api: FakeApi, url: string): Promise<Health> {
  const { status, body } = await ask(api, { url });
  return [status, `${body}`];
}

/** A rule without a usable backend, for longer than a start takes. */
async function deadRule(api: FakeApi, rule: string): Promise<void> {
  const backends = [{ name: "10.0.0.1:53", isIpv6: false, healthy: false, takesNew: true, noWay: null }] as const;
  api.appliance.ruleBackends = [{ rule, noneLeft: "drop", backends }];
  await api.timers.pass(2000);
}

Deno.test("/livez, /healthz and /readyz: a worker that has ended, and a stop", async () => {
  using api = new FakeApi();
  assert.deepEqual(await health(api, "/livez"), [200, "ok\n"]);
  assert.deepEqual(await health(api, "/healthz"), [200, "ok\n"]);
  assert.deepEqual(await health(api, "/readyz"), [200, "ready\n"]);
  api.appliance.states[1] = "failed";
  api.appliance.alive = false;
  await api.timers.pass(1000);
  assert.deepEqual(await health(api, "/livez"), [
    503,
    "A worker does not run\nWorker 1 does not run, and the packets of its ports are lost: it is failed\n",
  ]);
  assert.deepEqual(await health(api, "/healthz"), [
    503,
    "Worker 1 does not run, and the packets of its ports are lost: it is failed\n",
  ]);
  assert.deepEqual(await health(api, "/readyz"), [
    503,
    "Worker 1 does not run, and the packets of its ports are lost: it is failed\n",
  ]);
  for (const stage of ["starting", "stopping"] as const) {
    api.appliance.stage = stage;
    for (const path of ["/healthz", "/readyz"]) {
      const [status, body] = await health(api, path);
      assert.equal(status, 503);
      assert.match(body, new RegExp(`^It does not steer: it is ${stage}.*\nWorker 1 does not run, .*\n$`));
    }
  }
});

Deno.test("a worker that stands still is named at once, whether or not the list of problems has it", async () => {
  using api = new FakeApi();
  api.appliance.states[0] = "stalled";
  api.appliance.alive = false;
  const words = "Worker 0 does not run, and the packets of its ports are lost: its thread is stopped by a signal\n";
  for (const when of ["before it is listed", "when it is"]) {
    assert.deepEqual(await health(api, "/readyz"), [503, words], when);
    assert.deepEqual(await health(api, "/healthz"), [503, words], when);
    assert.deepEqual(await health(api, "/livez"), [503, `A worker does not run\n${words}`], when);
    await api.timers.pass(1000);
  }
});

Deno.test("/healthz and /readyz: an interface that is gone, and a program that was detached; a new process is no help", async () => {
  using api = new FakeApi();
  const [lo] = api.appliance.interfaces;
  const attached = lo!.condition;
  for (const [state, words] of [["gone", /lo is gone.*: why/], ["detached", /lo is not attached.*: why/]] as const) {
    lo!.condition = { state, since: "", why: "why" };
    await api.timers.pass(1000);
    for (const url of ["/healthz", "/readyz", "/readyz?rule=game"]) {
      const [status, body] = await health(api, url);
      assert.equal(status, 503, url);
      assert.match(body, words);
    }
    assert.equal((await health(api, "/livez"))[0], 200);
  }
  lo!.condition = attached;
  await api.timers.pass(1000);
  assert.equal((await health(api, "/readyz"))[0], 200);
});

Deno.test("/readyz?rule= is about one rule; the box is ready while one of those that serve works", async () => {
  using api = new FakeApi();
  const forward = (name: string, port: number): string =>
    `{ name: ${name}, ports: ${port}, worker: 0, action: { forward: { to: ["10.0.0.1:53"] } } }`;
  const head = "version: 1\ninterfaces: [{ name: lo }]\nworkers: { count: 2 }\nsteering: ";
  await api.reloader.applyText(
    `${head}[${forward("dns", 53)}, { name: game, ports: 80, worker: 0, action: echo }]`,
    "x",
  );
  await deadRule(api, "dns");
  const [status, body] = await health(api, "/readyz?rule=dns");
  assert.deepEqual([status, body], [
    503,
    "Rule dns has no usable backend, so its packets are lost: 10.0.0.1:53 fails its health check\n",
  ]);
  for (const url of ["/readyz", "/readyz?rule=game", "/healthz", "/livez"]) {
    assert.equal((await health(api, url))[0], 200, url);
  }
  // A rule that only counts serves nobody.
  await api.reloader.applyText(
    `${head}[${forward("dns", 53)}, { name: rest, ports: 81, worker: 0, action: count }]`,
    "x",
  );
  assert.equal((await health(api, "/readyz"))[0], 503, "no rule that serves is left");
  assert.equal((await health(api, "/healthz"))[0], 200, "a new process would have the same backends");
  const unknown = await ask(api, { url: "/readyz?rule=dsn" });
  assert.deepEqual([unknown.status, unknown.json.error], [404, 'there is no rule "dsn"; there is dns, rest']);
  assert.equal((await health(api, "/readyz?rul=dns"))[0], 400, "a slip is not about the box");
  assert.equal((await health(api, "/readyz?rule=dns&rule=rest"))[0], 400);
});

Deno.test("/v1/problems, /v1/status and /metrics tell the same list", async () => {
  using api = new FakeApi();
  assert.deepEqual((await ask(api, { url: "/v1/problems" })).json, { ready: true, problems: [], endedProblems: [] });
  api.reloader.file = {
    refused: { time: "", message: "steering.yaml:3:1: no\nsuch key" },
    lastGood: null,
    settling: null,
    unconfirmed: null,
    unsaved: [],
  };
  api.appliance.interfaces[0]!.condition = { state: "gone", since: "", why: "it was deleted" };
  await api.timers.pass(1000);
  const { ready, problems } = (await ask(api, { url: "/v1/problems" })).json;
  assert.equal(ready, false);
  assert.deepEqual(
    problems.map(({ kind, severity, subject, stops }: Problem) => [kind, severity, subject, stops]),
    [
      ["interface_gone", "critical", { kind: "interface", name: "lo" }, "box"],
      ["config_refused", "warning", { kind: "file", name: api.configFile }, null],
    ],
  );
  assert.match(problems[1].message, /steering\.yaml:3:1: no$/);
  const status = (await ask(api, { url: "/v1/status" })).json;
  assert.deepEqual([status.problems, status.ready], [problems, false]);
  const body = `${(await ask(api, { url: "/metrics" })).body}`;
  for (const kind of PROBLEM_KINDS) {
    const count = problems.filter((problem: Problem) => problem.kind === kind).length;
    assert.match(body, new RegExp(`^xdpsteer_problems\\{kind="${kind}"\\} ${count}$`, "m"));
  }
});
