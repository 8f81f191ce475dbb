/** Who sends most: the command and the API, with senders of an ordinary kernel. */
import assert from "node:assert/strict";
import type { SourcesAnswer } from "../../src/api/sources.ts";
import { SENDER_SET } from "../../src/bpf/layout.gen.ts";
import { IPV4, IPV6, TestNetwork } from "../support/netns.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { finish, productCommand } from "./support/command.ts";
import { fdInfos } from "./support/fdinfo.ts";
import { Program } from "./support/programs.ts";
import { addSources } from "./support/senders.ts";
import { until } from "./support/wait.ts";

const PORTS = { game: 8080, chat: 9090 } as const;

/** Sends from several addresses in turn, each so often in a round, until it is killed. */
const SENDER = `
import json, socket, sys, time
senders = []
for source, target, port, times, size in json.loads(sys.argv[1]):
    sender = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((source, 0))
    senders.append((sender, (target, port), times, bytes(size)))
print("ready", flush=True)
while True:
    for sender, target, times, data in senders:
        for _ in range(times): sender.sendto(data, target)
    time.sleep(0.02)
`;

/** Sources with how many packets of a round they send. */
const FLOOD = [
  ["10.11.0.31", IPV4.steer, PORTS.game, 20, 100],
  ["10.11.0.32", IPV4.steer, PORTS.game, 5, 100],
  [IPV6.client, IPV6.steer, PORTS.chat, 10, 100],
] as const;

/** Whether the process has the map that senders are counted in: one with values of the size of a set. */
function hasCounts(box: Appliance): boolean {
  return fdInfos(box).some((text) => text.includes(`value_size:\t${SENDER_SET.size}\n`));
}

const ask = async (box: Appliance, query: string): Promise<SourcesAnswer> =>
  JSON.parse((await box.request("GET", `/v1/sources${query}`)).body);

Deno.test("sources names those that send most, by rule too, and counts only while somebody asks", async () => {
  await using network = await TestNetwork.create();
  await addSources(network, ["10.11.0.31", "10.11.0.32"]);
  await using box = await startAppliance(network, {
    rules: [`{ name: game, ports: ${PORTS.game}, action: drop }`, `{ name: chat, ports: ${PORTS.chat} }`],
  });
  assert.ok(!hasCounts(box), "nobody has asked");
  await using _flood = await Program.start(
    network.names.client,
    ["/usr/bin/python3", "-c", SENDER, JSON.stringify(FLOOD)],
    "ready",
  );
  const wanted = ["10.11.0.31 game", "fd11::/64 chat", "10.11.0.32 game"];
  const answer = await until("all three", async () => {
    const now = await ask(box, "");
    return now.sources.length === 3 ? now : undefined;
  });
  assert.deepEqual(answer.sources.map(({ source, rule }) => `${source} ${rule}`), wanted);
  const [first, , last] = answer.sources;
  const ratio = first!.packetsPerSecond / last!.packetsPerSecond;
  assert.ok(ratio > 2 && ratio < 8, `20 to 5 packets in each round, not ${ratio}`);
  // 14 Ethernet, 20 IPv4, 8 UDP, 100 payload
  assert.ok(Math.abs(first!.bytesPerSecond / first!.packetsPerSecond - 142) < 1, JSON.stringify(first));
  const sum = answer.sources.reduce((all, { packetsPerSecond }) => all + packetsPerSecond, 0);
  assert.ok(Math.abs(sum - answer.packetsPerSecond) < 1, "all that is counted is somebody's");
  assert.deepEqual((await ask(box, "?rule=chat")).sources.map(({ source }) => source), ["fd11::/64"]);
  assert.ok(hasCounts(box));

  const run = async (...words: string[]): Promise<string> => {
    const argv = [...productCommand(), "sources", "--socket", box.socket, ...words];
    const { code, stdout, stderr } = await finish(network, argv);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const table = await run("--count", "2");
  assert.match(table, /^all rules: [\d,]+ packets\/s from 3 sources\n/);
  assert.match(table, /\n10\.11\.0\.31 +game +[\d,]+ +[\d,]+ +xdpsteer ban add 10\.11\.0\.31 --for 10m\n/);
  assert.doesNotMatch(table, /10\.11\.0\.32/);
  assert.match(await run("--rule", "chat"), /^rule chat: .*\n\nSOURCE +PACKETS\/S +BYTES\/S +TO BAN IT\nfd11::\/64 /);
  assert.equal(JSON.parse(await run("--json", "--rule", "game")).seen, 2);
  for (
    const [words, status, complaint] of [
      [["--rule", "other"], 1, /no rule "other": there is game, chat/],
      [["--count", "0"], 2, /"0" is no number of sources/],
    ] as const
  ) {
    const { code, stderr } = await finish(network, [...productCommand(), "sources", "--socket", box.socket, ...words]);
    assert.deepEqual([code, complaint.test(stderr)], [status, true], stderr);
  }
  await until("the counts to end", () => !hasCounts(box));
});
