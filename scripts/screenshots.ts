/**
 * Takes the pictures of the dashboard in docs/images: a real appliance with real traffic in namespaces, seen by
 * headless Chromium.
 */
// deno-lint-ignore-file no-console -- this is a program, and the lines are its answers
import "../tests/support/libraries.ts";
import { TestNetwork } from "../tests/support/netns.ts";
import { startAppliance } from "../tests/e2e/support/appliance.ts";
import { BackgroundTraffic } from "../tests/e2e/support/background.ts";
import { Browser, show, type View } from "../tests/e2e/support/browser.ts";
import type { TestConfig } from "../tests/e2e/support/config.ts";
import { sleep } from "../tests/e2e/support/wait.ts";

const OUT = "docs/images";
const HTTP = "127.0.0.1:9469";
const DESK: View = { width: 1280, height: 900, scheme: "light" };
const PHONE: View = { width: 360, height: 1560, scheme: "light", scale: 2, touch: true };

const config = (voice: string): TestConfig => ({
  http: HTTP,
  rules: [
    '{ name: game, ports: [7777, "27015-27030"], worker: 0, action: echo }',
    "{ name: telemetry, ports: 9090, worker: 1 }",
    `{ name: voice, ports: "10000-20000", worker: ${voice} }`,
    '{ name: vpn, ports: ["51820-51839", 4500], worker: 1 }',
    '{ name: scanners, ports: [19, 1900, "33434-33534"], action: drop }',
  ],
});

await Deno.mkdir(OUT, { recursive: true });
await using network = await TestNetwork.create();
await using directory = {
  path: "/run/xdpsteer-screenshots",
  [Symbol.asyncDispose]: (): Promise<void> => Deno.remove("/run/xdpsteer-screenshots", { recursive: true }),
};
await Deno.mkdir(directory.path, { recursive: true });
await using box = await startAppliance(network, config("hash"), { directory: directory.path });
await using browser = await Browser.start(network);
const page = await browser.open(`http://${HTTP}/`, DESK);
const send = (ports: number[], ratePps: number): Promise<BackgroundTraffic> =>
  BackgroundTraffic.live(network, box, { ports, flows: 64, ratePps, cpus: [0, 1] });

{
  // Each source has its own rhythm, as traffic has.
  await using _game = await send([7777, 27016, 27017], 18_000);
  await sleep(4000);
  await using _voice = await send([10_500, 12_000, 1900], 9000);
  await sleep(4000);
  {
    await using _telemetry = await send([9090], 7000);
    await sleep(8000);
  }
  await box.saveInPlace(config("1"));
  await using _vpn = await send([51_820, 9090, 33_434, 53], 9000);
  await sleep(10_000);
  await page.type("#map-port", "12000");
  for (const [name, view, clip] of pictures()) {
    await show(page, view);
    await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
    await sleep(1500);
    const path = `${OUT}/dashboard-${name}.png`;
    await page.screenshot({ path, fullPage: !clip, optimizeForSpeed: false });
    console.log(`${path}: ${(Deno.statSync(path).size / 1000).toFixed(0)} kB`);
  }
}
for (const complaint of browser.complaints) console.error(complaint);

function pictures(): readonly (readonly [name: string, view: View, clip: boolean])[] {
  return [["light", DESK, false], ["dark", { ...DESK, scheme: "dark" }, false], ["phone", PHONE, true]];
}
