import assert from "node:assert/strict";
import { ask } from "../../tests/support/ask.ts";
import { FakeApi } from "../../tests/support/fake_api.ts";

Deno.test("GET /v1/sources tells who sends most, of all rules or of one, with the command to ban", async () => {
  using api = new FakeApi();
  const game = api.appliance.slots.slotOf("game")!;
  const chat = api.appliance.slots.slotOf("chat")!;
  api.appliance.watched = {
    intervalMs: 2000,
    packets: 500,
    senders: [
      { source: "192.0.2.1", rule: game, packets: 300, bytes: 30_000 },
      { source: "2001:db8::/64", rule: chat, packets: 100, bytes: 9000 },
      { source: "192.0.2.2", rule: game, packets: 50, bytes: 100 },
    ],
  };
  const first = {
    source: "192.0.2.1",
    rule: "game",
    packetsPerSecond: 150,
    bytesPerSecond: 15_000,
    ban: "xdpsteer ban add 192.0.2.1 --for 10m",
  };
  const all = (await ask(api, { url: "/v1/sources?count=1" })).json;
  assert.deepEqual(all, { intervalMs: 2000, rule: null, packetsPerSecond: 250, seen: 3, sources: [first] });
  const one = (await ask(api, { url: "/v1/sources?rule=chat" })).json;
  assert.deepEqual([one.rule, one.packetsPerSecond, one.seen, one.sources[0].source], ["chat", 50, 1, "2001:db8::/64"]);
  for (const [query, status] of [["rule=other", 404], ["count=0", 400], ["count=x", 400], ["counts=1", 400]] as const) {
    assert.equal((await ask(api, { url: `/v1/sources?${query}` })).status, status, query);
  }
});
