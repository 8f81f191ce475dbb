import assert from "node:assert/strict";
import { TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { settled } from "./support/accounts.ts";
import { type Appliance, startAppliance } from "./support/appliance.ts";
import { BackgroundTraffic } from "./support/background.ts";
import { finish, productCommand, TempDir } from "./support/command.ts";
import { type Screen, Terminal, type TerminalOptions } from "./support/pty.ts";

const PORT = { game: 7777, scanners: 1900, quiet: 5353 } as const;
const RULES = [
  `{ name: quiet, ports: ${PORT.quiet}, worker: 0 }`,
  `{ name: game, ports: ${PORT.game}, worker: 1 }`,
  `{ name: scanners, ports: ${PORT.scanners}, action: drop }`,
];
const FLOWS = 20;
const PACKETS_PER_FLOW = 200;
const SIGHUP = 1;
const SIGTERM = 15;

const topCommand = (socket: string, ...args: string[]): string[] => [
  ...productCommand(),
  ...["top", "--socket", socket, "--interval", "0.2", ...args],
];
const openTop = (network: TestNetwork, box: Appliance, options?: TerminalOptions): Terminal =>
  new Terminal(network, topCommand(box.socket), options);

const numberIn = (text: string | undefined): number => Number(text?.replaceAll(",", ""));
const rowOf = ({ lines }: Screen, name: string): string => lines.find((line) => line.startsWith(`${name} `)) ?? "";
/** Words of a row of the rules table: name, ports, worker, action, pps, Mbit/s, total, drops, share. */
function ruleRow(screen: Screen, name: string): { pps: number; total: number; drops: number } {
  const [, , , , pps, , total, drops] = rowOf(screen, name).split(/ +/);
  return { pps: numberIn(pps), total: numberIn(total), drops: numberIn(drops) };
}
const ruleOrder = ({ lines }: Screen): string[] =>
  lines.map((line) => line.split(" ")[0]!).filter((word) => RULES.some((rule) => rule.includes(`name: ${word},`)));

/** A shell in this terminal finds it as it was. */
function assertRestored({ cursorShown, alternate, cooked, lines }: Screen): void {
  assert.deepEqual({ cursorShown, alternate, cooked }, { cursorShown: true, alternate: false, cooked: true });
  assert.ok(lines.every((line) => !line.includes("Error")), lines.join("\n"));
}

Deno.test("top shows on a terminal exactly what was sent, and follows it", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES }, { favoured: true });
  await using terminal = openTop(network, box);
  const shown = await terminal.untilStill("tables", ({ lines }) => lines.some((line) => line.startsWith("INTERFACE")));
  assert.equal(shown.alternate, true);
  assert.equal(shown.cursorShown, false);
  assert.equal(shown.cooked, false);
  assert.match(shown.lines[0]!, /^xdpsteer \d+\.\d+\.\d+\S* {2}up 00:\d\d:\d\d {2}generation 1$/);
  assert.equal(shown.lines[1], "steer0 (native XDP)");

  const ports = [PORT.game, PORT.scanners];
  const traffic = { ports, flows: FLOWS, packetsPerFlow: PACKETS_PER_FLOW * ports.length, ratePps: 8000 };
  const sending = runTraffic(network, "udp", traffic);
  await terminal.untilScreen("a rate", (screen) => ruleRow(screen, "game").pps > 0);
  const { sentPerPort } = await sending;
  const status = await settled(box);
  const sent = FLOWS * PACKETS_PER_FLOW;
  assert.equal(sentPerPort[PORT.game], sent);
  const still = await terminal.untilStill(
    "the end",
    (screen) => ruleRow(screen, "game").total === sent && ruleRow(screen, "game").pps === 0,
  );
  assert.deepEqual(ruleRow(still, "game"), { pps: 0, total: sent, drops: 0 });
  assert.deepEqual(ruleRow(still, "scanners"), { pps: 0, total: sent, drops: sent });
  assert.deepEqual(ruleRow(still, "quiet"), { pps: 0, total: 0, drops: 0 });
  assert.match(rowOf(still, "game"), /[▂▃▄▅▆▇█]/, "the trend shows that there was traffic");
  const { seen, verdicts, socketDrops } = status.totals;
  const [, ...totals] = rowOf(still, "total").split(/ +/).map(numberIn);
  assert.deepEqual(totals, [seen, verdicts.redirect, verdicts.pass, verdicts.drop, socketDrops]);
  assert.match(rowOf(still, "1"), new RegExp(`^1 +running +any +0 .* ${sent.toLocaleString("en-US")}`));
  assert.ok(still.styled.some(({ colour }) => colour === "green"), "colours");
  await terminal.type("q");
  const left = await terminal.ended();
  assert.equal(left.code, 0);
  assert.equal(left.cleared, 0, "it never cleared the screen");
  assertRestored(left);
});

Deno.test("top obeys its keys: sort, reverse, pause, help, Ctrl-C", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  await using _load = await BackgroundTraffic.live(network, box, { ports: [PORT.game], ratePps: 2000 });
  await using terminal = openTop(network, box);
  const untilOrder = (heading: RegExp, order: string[]): Promise<Screen> =>
    terminal.untilScreen(
      `${order}`,
      (screen) => screen.lines.some((line) => heading.test(line)) && ruleOrder(screen).join() === order.join(),
    );
  await untilOrder(/PPS ▼/, ["game", "quiet", "scanners"]);
  await terminal.type("3");
  await untilOrder(/^RULE ▲/, ["game", "quiet", "scanners"]);
  await terminal.type("r");
  await untilOrder(/^RULE ▼/, ["scanners", "quiet", "game"]);
  await terminal.type("<");
  await untilOrder(/TOTAL ▼/, ["game", "quiet", "scanners"]);
  await terminal.type("p");
  const paused = await terminal.untilStill("the pause", ({ lines }) => lines[0]!.endsWith("PAUSED"));
  await terminal.type("h");
  await terminal.untilScreen("help", ({ lines }) => lines.includes("Keys"));
  await terminal.type("s"); // only leaves the help
  // Nothing moves in a pause.
  await terminal.untilScreen("what was there before", ({ lines }) => lines.join() === paused.lines.join());
  await terminal.type("p");
  await terminal.untilScreen("more packets", (screen) => ruleRow(screen, "game").total > ruleRow(paused, "game").total);
  await terminal.type("\x03");
  const left = await terminal.ended();
  assert.equal(left.code, 0);
  assertRestored(left);
});

Deno.test("top scrolls many rules, fits a terminal that changes its size, and leaves it as it was at SIGTERM", async () => {
  const rules = Array.from({ length: 60 }, (_, index) => `{ name: rule-${index + 100}, ports: ${1000 + index} }`);
  const names = ({ lines }: Screen): string[] => lines.flatMap((line) => /^rule-\d+/.exec(line)?.[0] ?? []);
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules });
  await using terminal = openTop(network, box);
  const isWhole = ({ lines }: Screen): boolean => lines.at(-1)!.startsWith("q quit"); // its last line is drawn last
  const first = await terminal.untilScreen("rules", (screen) => isWhole(screen) && names(screen).length > 10);
  assert.equal(names(first)[0], "rule-100");
  await terminal.type("\x1b[B\x1b[6~"); // down, page down
  await terminal.untilScreen("the next page", (screen) => names(screen)[0] === `rule-${101 + names(first).length}`);
  await terminal.type("\x1b[F");
  await terminal.untilScreen("the last page", (screen) => names(screen).at(-1) === "rule-159");
  await terminal.type("\x1b[H");
  await terminal.untilScreen("the first page", (screen) => names(screen)[0] === "rule-100");
  for (const [columns, rows] of [[60, 20], [160, 50], [20, 5], [110, 32]] as const) {
    await terminal.resize(columns, rows);
    const { lines } = await terminal.untilScreen(
      `${columns} x ${rows}`,
      ({ lines }) => lines.length === rows && lines[0]!.startsWith("xdpsteer") && lines[rows - 1]!.startsWith("q quit"),
    );
    assert.ok(lines.every((line) => line.length <= columns));
  }
  await terminal.signal(SIGTERM);
  assertRestored(await terminal.ended());
});

Deno.test("top waits for an appliance that went away, and goes on with the next one", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  const start = (): Promise<Appliance> => startAppliance(network, { rules: RULES }, { directory: directory.path });
  await using box = await start();
  await using terminal = openTop(network, box, { columns: 200 }); // the last line has the socket's path in it
  await terminal.untilScreen("tables", (screen) => ruleOrder(screen).length === 3);
  box.signal("SIGTERM");
  await box.ended();
  const alone = await terminal.untilStill("the news", ({ lines }) => lines[0]!.endsWith("NOT REACHABLE, RETRYING"));
  assert.match(alone.lines.at(-1)!, /^Cannot reach xdpsteer at /);
  assert.equal(ruleOrder(alone).length, 3, "the last that was known stays");
  await using again = await start();
  await runTraffic(network, "udp", { ports: [PORT.game], flows: 1, packetsPerFlow: 10 });
  await settled(again);
  const back = await terminal.untilScreen("the new counts", (screen) => ruleRow(screen, "game").total === 10);
  assert.doesNotMatch(back.lines[0]!, /RETRYING/);
  again.signal("SIGSTOP"); // it is there and says nothing
  await terminal.untilScreen("the news", ({ lines }) => lines.at(-1)!.endsWith("does not answer"));
  await terminal.type("h");
  await terminal.untilScreen("help, all the same", ({ lines }) => lines.includes("Keys"));
  again.signal("SIGCONT");
  await terminal.untilScreen("an answer", ({ lines }) => !lines[0]!.endsWith("RETRYING"));
  await terminal.signal(SIGHUP);
  assertRestored(await terminal.ended());
});

Deno.test("top shows a refused reload in words and in red, and without colours where NO_COLOR is set", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  await box.writeConfig({ rules: ["{ name: broken, ports: 99999 }"] });
  await box.untilStatus("a refusal", ({ reloads }) => reloads.refused === 1);
  const isTold = ({ lines }: Screen): boolean =>
    lines.some((line) => /^reload REFUSED at .* \(1 refused\): \S/.test(line));
  for (const noColor of ["", "1"]) {
    await using terminal = openTop(network, box, { env: { NO_COLOR: noColor } });
    const { styled } = await terminal.untilScreen("the refusal", isTold);
    const colours = new Set(styled.flatMap(({ colour, background }) => [colour, background]));
    colours.delete("default");
    if (noColor === "") {
      assert.ok(styled.some(({ text, colour }) => text.startsWith("reload REFUSED") && colour === "red"));
    } else {
      assert.deepEqual([...colours], []);
      assert.ok(styled.some(({ text, reverse }) => text.startsWith("RULE") && reverse), "headings are still set apart");
    }
    await terminal.type("q");
    assertRestored(await terminal.ended());
  }
});

Deno.test("top prints plain tables and JSON where nobody looks at a terminal", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES }, { favoured: true });
  const { sent } = await runTraffic(network, "udp", { ports: [PORT.scanners], flows: 5, packetsPerFlow: 100 });
  await settled(box);
  const once = await finish(network, topCommand(box.socket, "--once"));
  assert.equal(once.code, 0, once.stderr);
  assert.equal(once.stderr, "");
  // deno-lint-ignore no-control-regex -- that is what must not be there
  assert.doesNotMatch(once.stdout, /[\x00-\x09\x0b-\x1f\x7f]/);
  assert.match(once.stdout, /^scanners +1900 +hash +drop +0 +0\.0 +500 +500 +0\.0 %$/m);
  assert.equal(once.stdout.match(/^RULE/gm)?.length, 1);

  const pipe = `${topCommand(box.socket).join(" ")} | head -n 60`;
  const piped = await finish(network, ["sh", "-c", pipe]);
  assert.ok(piped.stdout.match(/^xdpsteer/gm)!.length > 1, "a block for each interval, until the reader has enough");

  const json = await finish(network, ["sh", "-c", `${topCommand(box.socket, "--json").join(" ")} | head -n 3`]);
  const looks = json.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(looks.length, 3);
  for (const { intervalMs, rules, totals } of looks) {
    assert.ok(intervalMs >= 150, `${intervalMs}`);
    const scanners = rules.find(({ name }: { name: string }) => name === "scanners");
    assert.deepEqual(scanners.drops, { total: sent, perSecond: 0 });
    assert.equal(totals.dropped.total, sent);
  }
  assert.ok(looks[2].uptimeMs > looks[0].uptimeMs);
});

Deno.test("top's JSON gives the rate that the counters grew by", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, { rules: RULES });
  await using load = await BackgroundTraffic.live(network, box, { ports: [PORT.game], ratePps: 5000 });
  const { stdout } = await finish(network, ["sh", "-c", `${topCommand(box.socket, "--json").join(" ")} | head -n 5`]);
  await load.stop();
  const looks = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  for (const [index, { intervalMs, totals }] of looks.entries()) {
    if (index === 0) continue;
    const before = looks[index - 1];
    assert.equal(intervalMs, looks[index].uptimeMs - before.uptimeMs);
    const grown = totals.seen.total - before.totals.seen.total;
    assert.ok(Math.abs(totals.seen.perSecond - grown / intervalMs * 1000) <= 1e-6 * grown);
  }
  assert.ok(looks.some(({ totals }) => totals.redirected.perSecond > 0), "and there was traffic");
});

Deno.test("top refuses a bad interval as wrong usage, and says so when nothing answers", async () => {
  await using network = await TestNetwork.create();
  for (const interval of ["0.1", "61", "often", "", "-1"]) {
    const { code, stderr } = await finish(network, [...productCommand(), "top", `--interval=${interval}`]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /interval/);
  }
  const { code, stderr } = await finish(network, topCommand("/nowhere/control.sock"));
  assert.equal(code, 1);
  assert.match(stderr, /Cannot reach xdpsteer at "\/nowhere\/control\.sock"[\s\S]*hint: /);
});
