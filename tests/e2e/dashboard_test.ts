import assert from "node:assert/strict";
import axe from "axe-core";
import { IPV4, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { receivedByWorker, ruleOf, settled } from "./support/accounts.ts";
import { type Appliance, startAppliance, type Status } from "./support/appliance.ts";
import { BackgroundTraffic, SteadyTraffic } from "./support/background.ts";
import { swallowAnswers } from "./support/bpf.ts";
import { Browser, type Page, show, type View } from "./support/browser.ts";
import { TempDir } from "./support/command.ts";
import type { TestConfig } from "./support/config.ts";
import { until } from "./support/wait.ts";

const HTTP = "127.0.0.1:9469";
const PAGE = `http://${HTTP}/`;
const DESK: View = { width: 1280, height: 900 };
const PHONE: View = { width: 360, height: 740, scale: 2, touch: true };

const steering = (game: number): TestConfig => ({
  http: HTTP,
  rules: [
    `{ name: game, ports: [8080, "27015-27030"], worker: ${game} }`,
    "{ name: chat, ports: 9090, worker: 1, action: echo }",
    "{ name: scanners, ports: 1900, action: drop }",
  ],
});
const BEFORE = steering(0);

/** What axe finds fault with. */
interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

const textOf = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, ({ textContent }) => textContent.trim());
const numberOf = async (page: Page, selector: string): Promise<number> =>
  Number((await textOf(page, selector)).replaceAll(",", ""));

/** The cells of a table's rows, as text. */
const rowsOf = (page: Page, body: string): Promise<string[][]> =>
  page.$$eval(
    `${body} > tr`,
    (rows) =>
      rows.map((row) =>
        [...(row as unknown as { cells: Iterable<{ textContent: string }> }).cells].map((cell) => cell.textContent)
      ),
  );

const untilText = (page: Page, selector: string, fits: RegExp, limitMs?: number): Promise<string> => {
  let last = "";
  return until(`${selector} to say ${fits}`, async () => {
    last = await textOf(page, selector);
    return fits.test(last) ? last : undefined;
  }, { describe: () => last, ...(limitMs === undefined ? {} : { limitMs }) });
};

async function assertShows(page: Page, status: Status): Promise<void> {
  const rows = new Map((await rowsOf(page, "#rules")).map((cells) => [cells[0], cells]));
  const count = (text: string | undefined): number => Number(text?.replaceAll(",", ""));
  for (const { name, dropped, passed, inForce } of status.rules) {
    if (!inForce) continue;
    const received = receivedByWorker(status, name).reduce((sum, packets) => sum + packets, 0);
    assert.equal(count(rows.get(name)?.[5]), received + dropped.packets + passed.packets, `packets of ${name}`);
  }
  const { verdicts, socketDrops, seen } = status.totals;
  assert.equal(await numberOf(page, "#figure-redirected"), verdicts.redirect);
  assert.equal(await numberOf(page, "#figure-dropped"), verdicts.drop);
  assert.equal(await numberOf(page, "#figure-lost"), socketDrops);
  assert.equal(await textOf(page, "#figure-seen"), `${seen.toLocaleString("en-US")} seen`);
  assert.equal(await numberOf(page, "#figure-generation"), status.generation);
  const cells = await page.$$eval("#matrix td > :nth-child(2)", (found) => found.map(({ textContent }) => textContent));
  const expected = status.interfaces[0]!.queues.flatMap(({ queue }) =>
    status.workers.map(({ worker }) =>
      status.rules.reduce(
        (sum, rule) => sum + rule.workers[worker]!.received.find((at) => at.queue === queue)!.packets,
        0,
      )
    )
  );
  assert.deepEqual(cells.map(count), expected, "packets by queue and worker");
  const reasons = new Map(
    await page.$$eval(
      "#reasons th",
      (heads) =>
        heads.map((head) =>
          [
            (head as unknown as { dataset: { key: string } }).dataset.key,
            head.parentElement!.querySelector("[data-key=packets]")!.textContent,
          ] as const
        ),
    ),
  );
  for (const byReason of [status.interfaces[0]!.verdicts.pass, status.interfaces[0]!.verdicts.drop]) {
    for (const [reason, packets] of Object.entries(byReason)) {
      assert.equal(count(reasons.get(reason) ?? "0"), packets, reason);
    }
  }
}

/**
 * Waits until the page shows what the counters say. Now and then the kernel sends a packet of its own, such as an ICMP
 * message about an echo nobody waited for, so the status is read anew each time.
 */
async function untilShown(page: Page, box: Appliance): Promise<Status> {
  let failure: unknown;
  return await until("the page to show the counters", async () => {
    const status = await box.status();
    try {
      await assertShows(page, status);
      return status;
    } catch (error) {
      failure = error;
    }
  }, { describe: () => `${failure}` });
}

Deno.test("the page's numbers are the counters, under traffic and exactly at its end, and the past is there", async () => {
  await using network = await TestNetwork.create();
  await swallowAnswers(network);
  await using box = await startAppliance(network, BEFORE);
  await using browser = await Browser.start(network);
  const page = await browser.open(PAGE, DESK);
  await untilText(page, "#connection", /^live$/);
  await using traffic = await SteadyTraffic.start(network, box, {
    ports: [8080, 9090, 1900, 5555],
    flows: 40,
    cpus: [0, 1],
  });
  await traffic.more(100_000);
  const report = await traffic.stop();
  await settled(box);
  const status = await untilShown(page, box);
  assert.equal(ruleOf(status, "scanners").dropped.packets, report.sentPerPort["1900"]);
  assert.equal(await numberOf(page, "#figure-redirected"), report.sentPerPort["8080"]! + report.sentPerPort["9090"]!);
  assert.equal(await numberOf(page, "#figure-dropped"), report.sentPerPort["1900"]);

  const label = (chart: string): Promise<string | null> =>
    page.$eval(chart, (element) => element.getAttribute("aria-label"));
  await until(
    "rates that have come to rest",
    async () => /game 0, chat 0, scanners 0$/.test(await label("#rule-chart") ?? ""),
  );
  // Whoever comes now sees what went before: rates by rule, each times the time since the one before, add up to what
  // was sent.
  const past = await page.evaluate(`new Promise((resolve) => {
    const source = new EventSource("/v1/stream");
    source.addEventListener("hello", ({ data }) => (source.close(), resolve(JSON.parse(data).past)));
  })`) as { times: number[]; rules: Record<string, number[]>; workers: number[][] };
  const about = (values: number[] | undefined, expected: number): void => {
    const seconds = past.times.map((time, index) => (time - (past.times[index - 1] ?? time - 1000)) / 1000);
    const sum = (values ?? []).reduce((total, value, index) => total + value * seconds[index]!, 0);
    assert.ok(Math.abs(sum - expected) < expected * 0.05, `${sum} is about ${expected}`);
  };
  about(past.rules["game"], report.sentPerPort["8080"]!);
  about(past.rules["scanners"], report.sentPerPort["1900"]!);
  about(past.workers[0], status.workers[0]!.received);
  about(past.workers[1], status.workers[1]!.received);
  assert.equal(past.workers[0]!.length, past.times.length);
  assert.deepEqual(browser.complaints, []);
});

Deno.test("who sends most is shown when it is asked for, with the command that bans it", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, BEFORE);
  await using browser = await Browser.start(network);
  await using _traffic = await BackgroundTraffic.live(network, box, { ports: [8080], flows: 20, ratePps: 5000 });
  const page = await browser.open(PAGE, DESK);
  await untilText(page, "#sources-note", /^counted only while they are shown$/);
  await page.click("#sources-details > summary");
  await untilText(page, "#sources-note", /^[\d,.]+( k)? packets per second from 1 source$/);
  const [row] = await rowsOf(page, "#sources");
  assert.deepEqual([row![0], row![1], row![4]], [IPV4.client, "game", `xdpsteer ban add ${IPV4.client} --for 10m`]);
  assert.deepEqual(browser.complaints, []);
});

Deno.test("a live remap and a refusal are on the page soon", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, BEFORE);
  await using browser = await Browser.start(network);
  await using traffic = await BackgroundTraffic.live(network, box, { ports: [8080, 9090], flows: 20, ratePps: 20_000 });
  const page = await browser.open(PAGE, DESK);
  const workerOfGame = async (): Promise<string | undefined> => (await rowsOf(page, "#rules"))[0]?.[2];
  await until("the rules", async () => (await workerOfGame()) === "0");
  await until("rates", async () => Number.parseFloat((await rowsOf(page, "#rules"))[0]![4]!) > 0);

  assert.equal((await box.put(steering(1))).code, 200);
  await untilText(page, "#figure-generation", /^2$/);
  assert.equal(await workerOfGame(), "1");
  assert.match(await textOf(page, "#config-reload"), /~ game: worker 0 -> 1/);
  assert.match(await textOf(page, "#config-generation"), /generation 2/);
  await page.type("#map-port", "27020");
  assert.equal(await textOf(page, "#map-owner"), "Port 27020: game, worker 1, count");
  await untilText(page, "#events", /Generation 2 is in force/);

  // What is refused is told as text, whatever is in it.
  await untilText(page, "#alerts", /Rules in force are not in .*steering\.yaml/);
  await box.saveInPlace("version: 1\nsteering: <img src=x onerror=alert(1)>\n");
  const alert = await untilText(page, "#alerts", /refused/);
  assert.match(alert, /steering\.yaml is refused, .*xdpsteer check .*since/s);
  assert.match(alert, /<img src=x onerror=alert\(1\)>/);
  assert.equal(await page.$("#alerts img"), null);
  assert.match(await textOf(page, "#health"), /^2 problems$/);
  await untilText(page, "#events", /is refused, generation 2 stays in force/);
  assert.equal(await textOf(page, "#figure-generation"), "2");

  await traffic.stop();
  await settled(box);
  await untilShown(page, box);
  assert.deepEqual(browser.complaints, []);
});

Deno.test("the page says when the box is gone, and goes on by itself when it is back", async () => {
  await using network = await TestNetwork.create();
  await using directory = await TempDir.create();
  await using browser = await Browser.start(network);
  let page: Page;
  {
    await using box = await startAppliance(network, BEFORE, { directory: directory.path });
    page = await browser.open(PAGE, DESK);
    await untilText(page, "#connection", /^live$/);
    assert.equal((await box.put(steering(1))).code, 200);
    await untilText(page, "#figure-generation", /^2$/);
    box.signal("SIGTERM");
    assert.equal((await box.ended()).code, 0, "an open stream does not hold up the end");
    await untilText(page, "#connection", /^reconnecting$/);
  }
  await using _box = await startAppliance(network, BEFORE, { directory: directory.path });
  await untilText(page, "#connection", /^live$/);
  await untilText(page, "#figure-generation", /^1$/);
  assert.doesNotMatch(await textOf(page, "#events"), /Generation 2 is in force/, "events are those of this process");
  const others = browser.complaints.filter((text) =>
    !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|503|ERR_CONNECTION_RESET/.test(text)
  );
  assert.deepEqual(others, []);
});

Deno.test("the page can be read by everybody: light, dark, phone, keyboard, screen reader", async () => {
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, BEFORE);
  await using browser = await Browser.start(network);
  const page = await browser.open(PAGE, DESK);
  await untilText(page, "#connection", /^live$/);
  await runTraffic(network, "live", { ports: [8080, 9090, 1900, 5555], flows: 10, count: 20_000 });
  await box.saveInPlace("steering: [oops\n");
  await untilText(page, "#alerts", /refused/);
  await page.evaluate(`for (const element of document.querySelectorAll("details")) element.open = true`);

  for (const view of [DESK, { ...DESK, scheme: "dark" }, PHONE, { ...PHONE, scheme: "dark" }] as const) {
    await show(page, view);
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate("axe.run()") as { violations: Violation[] };
    const found = violations.map(({ id, nodes }) =>
      `${id}: ${nodes.map(({ html, failureSummary }) => html + failureSummary)}`
    );
    assert.deepEqual(found, [], `${view.width} wide, ${"scheme" in view ? view.scheme : "light"}`);
    const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
    assert.equal(overflow, 0, `nothing sticks out at ${view.width}`);
  }

  await show(page, DESK);
  // A page that was busy for seconds may have been cut off, and is there again soon.
  await untilText(page, "#connection", /^live$/);
  await untilText(page, "#alerts", /refused/);
  const background = (): Promise<unknown> => page.evaluate("getComputedStyle(document.body).backgroundColor");
  const light = await background();
  await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
  const focused: unknown[] = [];
  for (let press = 0; press < 8; press++) {
    await page.keyboard.press("Tab");
    focused.push(
      await page.evaluate(
        "[document.activeElement.id || document.activeElement.className, getComputedStyle(document.activeElement).outlineStyle]",
      ),
    );
    // Auto, light, dark.
    if (press === 1) { for (let theme = 0; theme < 2; theme++) await page.keyboard.press("Enter"); }
  }
  const order = ["skip", "theme", "", "rule-filter", "scroll", "", "map-port", ""];
  assert.deepEqual(
    focused,
    order.map((name) => [name, "solid"]),
    "by Tab: the refusal's text, the find field, tables, sources, the map",
  );
  assert.notEqual(await background(), light, "the theme was switched by keyboard");
  await page.reload();
  assert.equal(await page.evaluate("document.documentElement.dataset.theme"), "dark", "and is remembered");
  assert.deepEqual(browser.complaints, []);
});
