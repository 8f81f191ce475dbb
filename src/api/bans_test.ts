import assert from "node:assert/strict";
import { type Answered, ask } from "../../tests/support/ask.ts";
import { FakeApi } from "../../tests/support/fake_api.ts";

Deno.test("/v1/bans bans, lists and lifts, and says what is wrong with an order", async () => {
  using api = new FakeApi();
  const post = (order: unknown): Promise<Answered> =>
    ask(api, { method: "POST", url: "/v1/bans", body: new TextEncoder().encode(JSON.stringify(order)) });
  const order = { prefix: "203.0.113.0/24", for: "10m", rule: "game", reason: "floods", by: "ann" };
  const { status, json } = await post(order);
  const ban = {
    prefix: "203.0.113.0/24",
    rule: "game",
    since: "1970-01-01T00:00:00.000Z",
    until: "1970-01-01T00:10:00.000Z",
    by: "ann",
    origin: "operator",
    reason: "floods",
  };
  assert.deepEqual([status, json], [200, { ban }]);
  assert.deepEqual((await ask(api, { url: "/v1/bans" })).json, { bans: [{ ...ban, packets: 0 }] });
  for (
    const [wrong, expected] of [
      [{}, [400, '"prefix" is missing']],
      [{ prefix: "1.2.3.4", until: 1 }, [400, 'unknown key "until": expected prefix, for, rule, reason, by, force']],
      [{ prefix: "1.2.3.4", for: "soon" }, [400, /^the value of "for" is not possible: expected seconds/]],
      [{ prefix: "1.2.3.4", reason: "a\nb" }, [400, /^the value of "reason" is not a text of 1 to 200 characters/]],
      [{ prefix: "1.2.3.4", rule: "gone" }, [422, 'There is no rule "gone" to ban a source from']],
      [{ prefix: "1.2.3.4/24" }, [422, /^"1\.2\.3\.4\/24" has bits set behind its prefix/]],
      [{ prefix: "0.0.0.0/0" }, [422, "0.0.0.0/0 is wider than /8: it would ban a large part of the world"]],
    ] as const
  ) {
    const { status, json } = await post(wrong);
    assert.equal(status, expected[0], JSON.stringify(wrong));
    if (typeof expected[1] === "string") assert.equal(json.error, expected[1]);
    else assert.match(`${json.error}`, expected[1]);
  }
  const lift = (query: string): Promise<Answered> => ask(api, { method: "DELETE", url: `/v1/bans?${query}` });
  assert.equal((await lift("prefix=203.0.113.0/24")).json.hint, "it is banned from rule game");
  assert.deepEqual((await lift("prefix=203.0.113.0/24&rule=game")).json, { ban });
  assert.deepEqual((await ask(api, { url: "/v1/bans" })).json, { bans: [] });
});
