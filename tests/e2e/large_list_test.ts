/** A list of a million lines that is saved again and again under load. */
// deno-lint-ignore-file no-console
import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { fatesOf, ruleOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { TempDir } from "./support/command.ts";
import { sleep, until } from "./support/wait.ts";

const LINES = 1_000_000;
const SAVES = Number(Deno.env.get("XDPSTEER_TEST_SAVES") ?? 8);
const RATE = 2000;

/** A million addresses all over 128.0.0.0/2, and some more, by which versions differ. */
function content(more: number): string {
  const lines: string[] = [];
  for (let number = 0; number < LINES; number++) {
    const address = 0x80000000 + (Math.imul(number, 2_654_435_761) >>> 2);
    lines.push(`${address >>> 24}.${address >>> 16 & 255}.${address >>> 8 & 255}.${address & 255}`);
  }
  for (let number = 0; number < more; number++) lines.push(`10.99.0.${number}`);
  return lines.join("\n");
}

async function residentMib(box: Appliance): Promise<number> {
  return (await box.metrics()).get("process_resident_memory_bytes")! / 2 ** 20;
}

Deno.test("a list of a million lines is saved under load, and no packet is lost or judged by half of it", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  const file = `${directory.path}/list`;
  const versions = [content(1), content(2)];
  await Deno.writeTextFile(file, versions[0]!);
  const sections = [`lists: [{ name: big, file: ${file} }]`, "guard: { deny: [big] }"];
  await using box = await startAppliance(network, { rules: ["{ name: game, ports: 53, action: count }"], sections }, {
    favoured: true,
  });
  const entriesOf = async (): Promise<number> => (await box.status()).lists[0]!.entries;
  await until("the list", async () => await entriesOf() === LINES + 1);
  const stop = new AbortController();
  const sending = runTraffic(network, "udp", {
    ports: [53],
    flows: 10,
    packetsPerFlow: 10_000_000,
    ratePps: RATE,
  }, { signal: stop.signal });
  const memory: number[] = [];
  try {
    for (let save = 1; save <= SAVES; save++) {
      await Deno.writeTextFile(`${file}.new`, versions[save % 2]!);
      await Deno.rename(`${file}.new`, file);
      await until("the saved list", async () => await entriesOf() === LINES + 1 + save % 2);
      memory.push(await residentMib(box));
      await sleep(100);
    }
  } finally {
    stop.abort();
  }
  const { sent } = await sending;
  const status = await settled(box, sent);
  assert.deepEqual(fatesOf(status, "game"), { counted: sent });
  assert.equal(ruleOf(status, "game").guarded.denied, 0);
  // From the third save on nothing grows but by what a build takes, where one is measured in the middle of it.
  const [, , settledMib] = memory;
  const most = Math.max(...memory.slice(2));
  assert.ok(most < settledMib! + 64, `MiB after each save: ${memory.map(Math.round)}`);
  if (SAVES > 10) console.log(`${sent} packets, MiB after each save: ${memory.map(Math.round)}`);
});
