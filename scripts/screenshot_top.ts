/**
 * Makes docs/images/top.png: `xdpsteer top` on a terminal of 110 x 32, over a real appliance under real traffic. Needs
 * root and chromium.
 *
 *     deno run -A scripts/screenshot_top.ts
 */
import { startAppliance } from "../tests/e2e/support/appliance.ts";
import { BackgroundTraffic } from "../tests/e2e/support/background.ts";
import { productCommand, TempDir } from "../tests/e2e/support/command.ts";
import { type Screen, Terminal } from "../tests/e2e/support/pty.ts";
import { sleep } from "../tests/e2e/support/wait.ts";
import { TestNetwork } from "../tests/support/netns.ts";
import { runTraffic } from "../tests/support/traffic_cli.ts";

const RULES = [
  "{ name: game, ports: [7777, '27015-27030'], worker: 0, action: echo }",
  "{ name: telemetry, ports: 9090, worker: 1, action: count }",
  "{ name: quic, ports: 443, worker: hash, action: count }",
  "{ name: voip, ports: '16384-16484', worker: 1, action: count }",
  "{ name: dns, ports: 53, action: pass }",
  "{ name: wireguard, ports: 51820, worker: hash, action: echo }",
  "{ name: stun, ports: 3478, worker: 0, action: echo }",
  "{ name: syslog, ports: 514, worker: 1, action: count }",
  "{ name: netflow, ports: [2055, 6343], worker: 1, action: count }",
  "{ name: ntp, ports: 123, action: pass }",
  "{ name: scanners, ports: [19, 1900, 11211], action: drop }",
];
/** Port, packets per second in each of its phases, and how long a phase is. */
const SOURCES = [
  { port: 7777, phases: [6000, 9000, 7000, 3000, 8000], phaseMs: 1700 },
  { port: 9090, phases: [4000, 4500, 4000, 12_000], phaseMs: 2100 },
  { port: 443, phases: [1500, 5000, 2500], phaseMs: 1300 },
  { port: 16400, phases: [1000, 1100], phaseMs: 3000 },
  { port: 53, phases: [300, 800, 500], phaseMs: 900 },
  { port: 1900, phases: [200, 3000], phaseMs: 2500 },
  { port: 3478, phases: [150, 900, 400], phaseMs: 1900 },
  { port: 514, phases: [100, 100, 2400], phaseMs: 1100 },
  { port: 51820, phases: [700, 1300], phaseMs: 2300 },
];
/** What comes over all of that at the end. */
const WAVE = { ports: [7777, 9090, 443, 7777], ratePps: 60_000, flows: 100 } as const;
const BEFORE_WAVE_MS = 11_000;
const WAVE_MS = 5000;
const SIZE = { columns: 110, rows: 32 };
const CHAR = { width: 8.43, height: 18 } as const; // of 14 px DejaVu Sans Mono
const MARGIN = 14;
const COLOURS: Readonly<Record<string, string>> = {
  default: "#d6d9de",
  black: "#14171c",
  red: "#ff6b68",
  green: "#7ccf6c",
  brown: "#e3c063",
  cyan: "#59c2d6",
  white: "#c3c8d1",
  brightblack: "#8b93a1",
  brightwhite: "#ffffff",
};
const BACKGROUND = "#14171c";

const screen = await capture();
const image = new URL("../docs/images/top.png", import.meta.url).pathname;
await using directory = await TempDir.create();
await Deno.writeTextFile(`${directory.path}/top.html`, html(screen));
await Deno.mkdir(new URL(".", `file://${image}`), { recursive: true });
const size = [Math.ceil(SIZE.columns * CHAR.width), SIZE.rows * CHAR.height].map((pixels) => pixels + 2 * MARGIN);
const { success, stderr } = await new Deno.Command("chromium", {
  args: [
    ...["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1.5"],
    ...[`--user-data-dir=${directory.path}/profile`, `--window-size=${size.join(",")}`, `--screenshot=${image}`],
    `file://${directory.path}/top.html`,
  ],
}).output();
if (!success) throw new Error(new TextDecoder().decode(stderr));

async function capture(): Promise<Screen> {
  await using network = await TestNetwork.create({ queues: 2 });
  await using box = await startAppliance(network, { rules: RULES.slice(0, -1), workers: 2 }, { favoured: true });
  await box.writeConfig({ rules: RULES, workers: 2 });
  await box.waitForGeneration(2);
  const stop = new AbortController();
  const sending = SOURCES.map(async ({ port, phases, phaseMs }) => {
    for (let phase = 0; !stop.signal.aborted; phase++) {
      const ratePps = phases[phase % phases.length]!;
      const packetsPerFlow = Math.ceil(ratePps * phaseMs / 1000 / 20);
      await runTraffic(network, "udp", { ports: [port], flows: 20, packetsPerFlow, ratePps });
    }
  });
  const argv = [...productCommand(), "top", "--socket", box.socket, "--interval", "0.5"];
  await using terminal = new Terminal(network, argv, SIZE);
  await sleep(BEFORE_WAVE_MS);
  await using _wave = await BackgroundTraffic.live(network, box, { ...WAVE, cpus: [0, 1] });
  await sleep(WAVE_MS);
  const shown = await terminal.screen();
  stop.abort();
  await Promise.all(sending);
  return shown;
}

function html({ lines, styled }: Screen): string {
  const escape = (text: string): string => text.replace(/[&<]/g, (char) => char === "&" ? "&amp;" : "&lt;");
  const rows = lines.map((line, row) => {
    let at = 0;
    let out = "";
    for (const run of styled.filter((run) => run.row === row)) {
      // The emulator takes bright black for a bold black.
      const colour = run.colour === "black" && run.background === "default" ? "brightblack" : run.colour;
      const style = [`color:${COLOURS[colour] ?? COLOURS.default}`];
      if (run.background !== "default") style.push(`background:${COLOURS[run.background]}`);
      if (run.bold && colour !== "brightblack") style.push("font-weight:bold");
      out += `${escape(line.slice(at, run.column).padEnd(run.column - at))}<span style="${style.join(";")}">${
        escape(run.text)
      }</span>`;
      at = run.column + run.text.length;
    }
    return `<div>${out}${escape(line.slice(at))}</div>`;
  });
  return `<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: ${MARGIN}px; background: ${BACKGROUND}; color: ${COLOURS.default};
  font: 14px/${CHAR.height}px "DejaVu Sans Mono", monospace; }
div { white-space: pre; height: ${CHAR.height}px; }
span { display: inline-block; height: ${CHAR.height}px; }
</style>${rows.join("\n")}`;
}
