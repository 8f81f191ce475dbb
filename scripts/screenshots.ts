/**
 * Takes the pictures of the dashboard in docs/images: a real appliance with real traffic in namespaces, seen by
 * headless Chromium.
 */
// deno-lint-ignore-file no-console -- this is a program, and the lines are its answers
import "../tests/support/libraries.ts";
import { TestNetwork } from "../tests/support/netns.ts";
import { startAppliance } from "../tests/e2e/support/appliance.ts";
import { BackendHost, backendName, Clients, FAMILIES, forwardConfig } from "../tests/e2e/support/backends.ts";
import { BackgroundTraffic } from "../tests/e2e/support/background.ts";
import { Browser, show, type View } from "../tests/e2e/support/browser.ts";
import { sleep } from "../tests/e2e/support/wait.ts";

const OUT = "docs/images";
const HTTP = "127.0.0.1:9469";
const DESK: View = { width: 1280, height: 900, scheme: "light" };
const PHONE: View = { width: 360, height: 1560, scheme: "light", scale: 2, touch: true };

const BACKENDS = [1, 2, 3].map((number) => backendName("IPv4", number));
const CHECK = "health: { check: udp, interval: 0.5, timeout: 0.3, rise: 1, fall: 1 }";
const CLIENTS = { address: FAMILIES.IPv4.service, port: 53, clients: 60, window: 1 };

const config = (voice: string, socket: string): string =>
  forwardConfig(socket, [
    '{ name: game, ports: [7777, "27015-27030"], worker: 0, action: echo }',
    "{ name: telemetry, ports: 9090, worker: 1 }",
    `{ name: dns, ports: 53, action: { forward: { to: [${BACKENDS.map((each) => `"${each}"`)}], ${CHECK} } } }`,
    `{ name: voice, ports: "10000-20000", worker: ${voice} }`,
    '{ name: vpn, ports: ["51820-51839", 4500], worker: 1 }',
    '{ name: scanners, ports: [19, 1900, "33434-33534"], action: drop }',
  ]).replace("http: off", `http: "${HTTP}"`);

await Deno.mkdir(OUT, { recursive: true });
await using network = await TestNetwork.create();
await using host = await BackendHost.create(network);
for (const number of [1, 2, 3]) await host.serve("IPv4", number);
await using directory = {
  path: "/run/xdpsteer-screenshots",
  [Symbol.asyncDispose]: (): Promise<void> => Deno.remove("/run/xdpsteer-screenshots", { recursive: true }),
};
await Deno.mkdir(directory.path, { recursive: true });
await using box = await startAppliance(network, (socket) => config("hash", socket), { directory: directory.path });
await using browser = await Browser.start(network);
const page = await browser.open(`http://${HTTP}/`, DESK);
const send = (ports: number[], ratePps: number): Promise<BackgroundTraffic> =>
  BackgroundTraffic.live(network, box, { ports, flows: 64, ratePps, cpus: [0, 1] });

{
  // Each source has its own rhythm, as traffic has.
  await using _clients = await Clients.start(network, CLIENTS);
  await using _game = await send([7777, 27016, 27017], 18_000);
  await sleep(4000);
  await using _voice = await send([10_500, 12_000, 1900], 9000);
  await sleep(4000);
  {
    await using _telemetry = await send([9090], 7000);
    await sleep(8000);
  }
  await box.saveInPlace(config("1", box.socket));
  await using _vpn = await send([51_820, 9090, 33_434, 53], 9000);
  await sleep(10_000);
  await page.type("#map-port", "12000");
  for (const [name, view, clip] of pictures()) {
    await show(page, view);
    await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
    await sleep(1500);
    await take(name, clip);
  }
  // One backend is dead, and a file is refused.
  await host.stop("IPv4", 2);
  await box.saveInPlace(`${config("1", box.socket)}steerings: []\n`);
  await show(page, DESK);
  await page.evaluate("scrollTo(0, 0)");
  await sleep(4000);
  await take("problems", true);
}
for (const complaint of browser.complaints) console.error(complaint);

async function take(name: string, clip: boolean): Promise<void> {
  const path = `${OUT}/dashboard-${name}.png`;
  await page.screenshot({ path, fullPage: !clip, optimizeForSpeed: false });
  console.log(`${path}: ${(Deno.statSync(path).size / 1000).toFixed(0)} kB`);
}

function pictures(): readonly (readonly [name: string, view: View, clip: boolean])[] {
  return [["light", DESK, false], ["dark", { ...DESK, scheme: "dark" }, false], ["phone", PHONE, true]];
}
