/**
 * Many handovers in a row between two versions, under all kinds of traffic: no packet and no session is lost, and what
 * is dropped where the machine is too slow is dropped without a handover too.
 */
import assert from "node:assert/strict";
import { SIZE } from "../support/sizes.ts";
import { assertConserved, fatesOf, settled } from "./support/accounts.ts";
import type { Status } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { BOTH, Clients, FAMILIES, forwardConfig, forwardTo } from "./support/backends.ts";
import { ROOT, TempDir } from "./support/command.ts";
import { type ForwardScene, startScene, untilForwarded } from "./support/scene.ts";
import { upgrade } from "./support/upgrade.ts";
import { sleep } from "./support/wait.ts";

const BACKENDS = [1, 2, 3];
/** Of each IP version. */
const CLIENTS = 500;
const RULES = [
  "{ name: count, ports: 8080, worker: 0 }",
  "{ name: echo, ports: 7777, worker: 1, action: echo }",
  forwardTo(9090, BACKENDS),
];
const { rounds, ratePps, requestsPerSecond, settleMs } = SIZE.upgrades;
/** What a run from its sources consists of. */
const PARTS = ["main.ts", "worker.ts", "deno.json", "deno.lock", "src", "build", "config", "docs"];

/** The product's sources, whose version can be changed: what another build is. */
class TwoVersions {
  private constructor(readonly folder: string, private readonly text: string) {}

  static async create(folder: string): Promise<TwoVersions> {
    for (const part of PARTS) await new Deno.Command("cp", { args: ["-r", `${ROOT}${part}`, folder] }).output();
    return new TwoVersions(folder, await Deno.readTextFile(`${folder}/deno.json`));
  }

  /** What is on disk from now on. */
  async put(version: string): Promise<void> {
    const next = `${this.folder}/deno.json.next`;
    await Deno.writeTextFile(next, this.text.replace(/"version": "[^"]*"/, `"version": "${version}"`));
    await Deno.rename(next, `${this.folder}/deno.json`);
  }

  /** Has the tests start that. */
  use(): Disposable {
    const before = Deno.env.get("XDPSTEER_COMMAND");
    Deno.env.set("XDPSTEER_COMMAND", `${Deno.execPath()} run --quiet -A ${this.folder}/main.ts`);
    return {
      [Symbol.dispose]: () => {
        if (before === undefined) Deno.env.delete("XDPSTEER_COMMAND");
        else Deno.env.set("XDPSTEER_COMMAND", before);
      },
    };
  }
}

/** What must never go back. */
function counters({ totals, rules, workers }: Status): number[] {
  const { verdicts, fates } = totals;
  return [
    ...[totals.seen, totals.received, totals.socketDrops, verdicts.redirect, verdicts.pass, verdicts.drop],
    ...Object.values(fates),
    ...workers.map(({ received }) => received),
    ...rules.map(({ redirected }) => redirected.packets),
  ];
}

interface Run {
  readonly status: Status;
  readonly sent: number;
  readonly forwarded: number;
  readonly gapsMs: readonly number[];
  /** That backends have seen so far, by IP version. */
  readonly ports: readonly number[];
}

/** Traffic of all kinds while something is done, and what became of it. */
async function under(scene: ForwardScene, act: () => Promise<readonly number[]>): Promise<Run> {
  const { network, box, host } = scene;
  const load = { ports: [8080, 7777], flows: 40, ratePps: ratePps / 2, checksum: true };
  const asking = { port: 9090, clients: CLIENTS, perSecond: requestsPerSecond / 2 };
  await using clients4 = await Clients.start(network, { ...asking, address: FAMILIES.IPv4.service });
  await using clients6 = await Clients.start(network, { ...asking, address: FAMILIES.IPv6.service });
  const all = [clients4, clients6];
  for (const clients of all) await clients.ready();
  await using frames4 = await BackgroundTraffic.live(network, box, { ...load, cpus: [0] });
  await using frames6 = await BackgroundTraffic.live(network, box, { ...load, ipv6: true, cpus: [1] });
  const gapsMs = await act();
  const sent = [await frames4.stop(), await frames6.stop()].reduce((sum, report) => sum + report.sent, 0);
  await untilForwarded(scene);
  const ports = await Promise.all(BOTH.map((family) => host.portsSeen(family, BACKENDS)));
  const reports = await Promise.all(all.map((clients) => clients.stop()));
  for (const { wrong, moved } of reports) assert.deepEqual({ wrong, moved }, { wrong: 0, moved: 0 });
  const forwarded = reports.reduce((sum, report) => sum + report.sent, 0);
  const status = await settled(box, sent);
  assertConserved(status);
  return { status, sent, forwarded, gapsMs, ports };
}

const median = (sorted: readonly number[]): number => sorted[sorted.length >> 1]!;

Deno.test("handovers in a row between two versions lose no packet and no session", async () => {
  await using folder = await TempDir.create();
  const versions = await TwoVersions.create(folder.path);
  using _command = versions.use();
  const memory = ", umem: { chunks: 65536 }, rings: { rx: 32768, tx: 4096, fill: 32768, completion: 4096 }";
  await using scene = await startScene((socket) => forwardConfig(socket, RULES, { memory }), {
    families: BOTH,
    serving: BACKENDS,
  });
  const { network, box } = scene;
  const begun = performance.now();
  const { status, sent, forwarded, gapsMs, ports } = await under(scene, async () => {
    const gaps: number[] = [];
    let before = counters(await box.status());
    for (let round = 0; round < rounds; round++) {
      const version = `0.0.${1 + round % 2}`;
      await versions.put(version);
      gaps.push(...(await upgrade(network, box)).gapsMs);
      const now = await box.status();
      assert.equal(now.version, version);
      const after = counters(now);
      after.forEach((count, index) => assert.ok(count >= before[index]!, `counter ${index} went back`));
      before = after;
      await sleep(settleMs);
    }
    return gaps.toSorted((one, other) => one - other);
  });
  const elapsedMs = performance.now() - begun;
  const { handovers, totals: { socketDrops } } = status;
  assert.equal(handovers.done, rounds);
  assert.deepEqual(ports, BOTH.map(() => CLIENTS), "a session has another port");
  // deno-lint-ignore no-console -- what it took here: a slow machine may take longer
  console.log(
    `${rounds} handovers under ${
      Math.round((sent + 2 * forwarded) / elapsedMs * 1000)
    } packets/s: nobody looked at a ` +
      `worker's rings for ${median(gapsMs)} ms (median), ${gapsMs.at(-1)} ms at most; ${socketDrops} dropped`,
  );
  if (SIZE.upgrades.isPaced) {
    assert.equal(socketDrops, 0);
    assert.equal(fatesOf(status, "count").counted! + fatesOf(status, "echo").echoed!, sent);
    assert.deepEqual(fatesOf(status, "web"), { forwarded });
    return;
  }
  // More than two CPUs can do: what the same traffic loses without a handover in as much time.
  const control = await under(scene, async () => {
    await sleep(elapsedMs);
    return [];
  });
  const alone = control.status.totals.socketDrops - socketDrops;
  // deno-lint-ignore no-console -- the same
  console.log(
    `of ${sent + 2 * forwarded} packets, and without handovers ${alone} of ${control.sent + 2 * control.forwarded}`,
  );
});
