/** `/v1/config` and `/v1/ports` for programs: what is read can be put back, `If-Match`, `?dry_run`. */
import assert from "node:assert/strict";
import { IPV4, TestNetwork } from "../support/netns.ts";
import { type Answer, type Appliance, startAppliance } from "./support/appliance.ts";

const FORWARD = {
  forward: {
    to: [`${IPV4.client}:53`],
    mode: "nat",
    client_address: "none",
    affinity: "flow",
    idle_timeout: 7,
    drain_timeout: 600,
    none_left: "pass",
    source: "box",
  },
};
const RULES = [
  "{ name: game, ports: 7777, worker: 0, action: echo }",
  `{ name: web, ports: [53, "27015-27030"], worker: 0, action: ${JSON.stringify(FORWARD)} }`,
  "{ name: scanners, ports: 19, action: drop }",
];

interface Rule {
  readonly name: string;
  readonly ports: unknown;
  readonly worker: unknown;
  readonly action: unknown;
}

async function read(box: Appliance): Promise<{ text: string; tag: string; rules: readonly Rule[] }> {
  const { code, body, headers } = await box.request("GET", "/v1/config");
  assert.equal(code, 200, body);
  return { text: body, tag: headers.etag as string, rules: JSON.parse(body).steering };
}

const changesOf = ({ code, body }: Answer): readonly string[] => {
  assert.equal(code, 200, body);
  return JSON.parse(body).changes;
};

Deno.test("what GET /v1/config answers can be put back, changed by a program, while its generation is in force", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  const first = await read(box);
  assert.match(first.tag, /^"\w+-1"$/);
  const tag = (generation: number): string => first.tag.replace("-1", `-${generation}`);
  assert.deepEqual(first.rules, [
    { name: "game", ports: 7777, worker: 0, action: "echo", addresses: "own", fragments: "drop" },
    { name: "web", ports: [53, "27015-27030"], worker: 0, action: FORWARD, addresses: "own", fragments: "drop" },
    { name: "scanners", ports: 19, worker: "hash", action: "drop", addresses: "own", fragments: "drop" },
  ]);
  assert.deepEqual(changesOf(await box.request("PUT", "/v1/config", first.text, { "if-match": first.tag })), []);

  const changed = first.text.replace('"action": "echo"', '"action": "count"');
  const changes = ["~ game: action echo -> count"];
  const put = (query: string, tag: string, text = changed): Promise<Answer> =>
    box.request("PUT", `/v1/config${query}`, text, { "if-match": tag });
  assert.deepEqual(changesOf(await put("?dry_run", first.tag)), changes);
  assert.equal(
    (await put("?dry_run=true", first.tag, changed.replace("7777", "53"))).code,
    422,
    "53 is another rule's",
  );
  assert.equal((await put("?dry_run=perhaps", first.tag)).code, 400);
  const { generation, reloads, lastReload } = await box.status();
  assert.deepEqual({ generation, reloads }, { generation: 1, reloads: { applied: 0, unchanged: 1, refused: 0 } });
  assert.equal(lastReload?.result, "unchanged", "a dry run is no change, and a refusal of one no refused change");

  const answer = await put("", first.tag);
  assert.deepEqual(changesOf(answer), changes);
  assert.equal(answer.headers.etag, tag(2));
  for (const query of ["", "?dry_run"]) {
    const stale = await put(query, first.tag);
    assert.equal(stale.code, 412, stale.body);
    assert.deepEqual([JSON.parse(stale.body).generation, stale.headers.etag], [2, tag(2)]);
  }
  assert.equal((await put("", `${tag(1)}, ${tag(2)}`, first.text)).code, 200);
  assert.equal((await put("", "*")).code, 200);
  assert.equal((await put("", '"nonsense"', first.text)).code, 412);
  assert.equal((await box.status()).reloads.refused, 0);
});

Deno.test("ports of a rule that forwards: a move keeps its settings, a map is kept, a word takes its place", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  const post = (order: object, query = "", headers = {}): Promise<Answer> =>
    box.request("POST", `/v1/ports${query}`, JSON.stringify(order), headers);
  const ruleOf = async (name: string): Promise<Rule | undefined> =>
    (await read(box)).rules.find((rule) => rule.name === name);

  const move = { ports: 27015, worker: 1 };
  const moved = [
    "~ web: ports 53,27015-27030 -> 53,27016-27030",
    `+ port-27015: ports 27015, worker 1, action forward to ${IPV4.client}:53`,
  ];
  assert.deepEqual(changesOf(await post(move, "?dry_run")), moved);
  assert.equal((await post(move, "", { "if-match": '"9"' })).code, 412);
  assert.equal((await box.status()).generation, 1);
  assert.deepEqual(changesOf(await post(move, "", { "if-match": (await read(box)).tag })), moved);
  assert.deepEqual(await ruleOf("port-27015"), {
    name: "port-27015",
    ports: 27015,
    worker: 1,
    action: FORWARD,
    addresses: "own",
    fragments: "drop",
  });

  const map = { forward: { ...FORWARD.forward, mode: "dsr", remap_port: 5353 } };
  assert.equal((await post({ ports: 5000, worker: "hash", action: map })).code, 200);
  assert.deepEqual((await ruleOf("port-5000"))?.action, map);
  const wrong = await post({ ports: 5001, worker: 0, action: { forward: { to: ["nowhere"] } } });
  assert.equal(wrong.code, 422);
  assert.match(JSON.parse(wrong.body).error, /backend "nowhere" has a name without a dot/);

  const all = { ports: "53,27016-27030", worker: 0, action: "count", rule: "web" };
  assert.deepEqual(changesOf(await post(all)), [`~ web: action forward to ${IPV4.client}:53 -> count`]);
  assert.equal((await ruleOf("web"))?.action, "count");

  assert.deepEqual(changesOf(await box.request("DELETE", "/v1/ports?ports=19&dry_run")), [
    "- scanners: ports 19, worker hash, action drop",
  ]);
  assert.equal((await box.request("DELETE", "/v1/ports?ports=19", "", { "if-match": '"1"' })).code, 412);
  assert.ok(await ruleOf("scanners"));
});

Deno.test("ports set goes through the checks of the file: no translation port, no capture of what ends in the kernel", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  const set = async (order: object): Promise<string> => {
    const { code, body } = await box.request("POST", "/v1/ports", JSON.stringify(order));
    assert.equal(code, 422, body);
    return JSON.parse(body).error;
  };
  const overlaps = /port 61000 of rule "port-61000" overlaps the translation ports 61000-65535/;
  assert.match(await set({ ports: 61000, worker: 0 }), overlaps);
  assert.match(await set({ ports: 61000, worker: 0, save: true }), overlaps);
  const { text } = await read(box);
  const put = await box.request("PUT", "/v1/config", text.replace("7777", "61000"));
  assert.match(JSON.parse(put.body).error, /port 61000 of rule "game" overlaps the translation ports/);
  assert.equal((await box.status()).generation, 1);
});

Deno.test("answers of backends are no rules of the operator's, and stand in the totals under a name of their own", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  const status = await box.status();
  assert.deepEqual(status.rules.filter(({ inForce }) => inForce).map(({ name }) => name), ["game", "web", "scanners"]);
  assert.equal((await box.metrics()).get("xdpsteer_config_rules"), RULES.length);
  assert.ok(box.log.some(({ properties }) => properties.rules === RULES.length), "the log tells of as many rules");
  assert.doesNotMatch(box.stderr, /answers/);
  assert.doesNotMatch((await box.request("GET", "/v1/ports")).body, /answers/);
});
