/**
 * The alerts and the dashboard that come with xdpsteer, against Prometheus's checker and a scrape of a running
 * appliance.
 */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { METRICS } from "../../src/observe/metric_families.ts";
import { KERNEL_FATES } from "../../src/observe/vocabulary.ts";
import { FATES } from "../../src/steering/fate.ts";
import { IPV4, TestNetwork } from "../support/netns.ts";
import { runTraffic } from "../support/traffic_cli.ts";
import { settled } from "./support/accounts.ts";
import { startAppliance } from "./support/appliance.ts";
import { ROOT, TempDir } from "./support/command.ts";
import { parseSample, type Sample } from "../support/metrics.ts";
import { assertExpressions, matches, promtool, selectorsOf } from "./support/promtool.ts";

const ALERTS = `${ROOT}config/prometheus-alerts.yaml`;
const CASES = `${ROOT}tests/e2e/support/alert_cases.yaml`;
const DASHBOARD = `${ROOT}config/grafana-dashboard.json`;
const RUNBOOK = "https://xdpsteer.dev/docs/operations.md#";
/** What Prometheus adds to each sample of a target. */
const TARGET_LABELS = { instance: "127.0.0.1:9469", job: "xdpsteer" };

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Target {
  readonly expr: string;
  readonly refId: string;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: Readonly<Record<"x" | "y" | "w" | "h", number>>;
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly Target[];
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly query: unknown }[];
  };
  readonly panels: readonly Panel[];
}

const alerts: readonly Alert[] = parse(await Deno.readTextFile(ALERTS)).groups
  .flatMap(({ rules }: { rules: Alert[] }) => rules);
const dashboard: Dashboard = JSON.parse(await Deno.readTextFile(DASHBOARD));
const panels = dashboard.panels.filter(({ type }) => type !== "row");

/** As Grafana fills them in for everything that there is. */
function withoutVariables(expression: string): string {
  return expression.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*").replaceAll("$interface", ".*");
}

const dashboardExpressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => withoutVariables(expr)));

Deno.test("promtool accepts the alerts and the example of a Prometheus configuration", async () => {
  const rules = await promtool(["check", "rules", ALERTS]);
  assert.equal(rules.code, 0, rules.output);
  assert.match(rules.output, new RegExp(`SUCCESS: ${alerts.length} rules found`));
  const config = await promtool(["check", "config", `${ROOT}config/prometheus.example.yaml`]);
  assert.equal(config.code, 0, config.output);
});

Deno.test("each alert fires when it should, and none on a box that is well", async () => {
  const { code, output } = await promtool(["test", "rules", CASES]);
  assert.equal(code, 0, output);
  const cases = await Deno.readTextFile(CASES);
  for (const { alert } of alerts) assert.ok(cases.includes(`alertname="${alert}"`), `no case lets ${alert} fire`);
});

Deno.test("each alert says how bad it is, what happens, and leads to a section of docs/operations.md", async () => {
  const text = await Deno.readTextFile(`${ROOT}docs/operations.md`);
  const sections = text.split(/^## /m).slice(1).map((section) => ({
    anchor: section.split("\n")[0]!.toLowerCase().replaceAll(/[^a-z0-9 _-]/g, "").replaceAll(" ", "-"),
    section,
  }));
  for (const { alert, labels, annotations: { summary, description, runbook_url: url = "" } } of alerts) {
    assert.match(labels.severity ?? "", /^(critical|warning)$/, alert);
    assert.ok(summary && description && url.startsWith(RUNBOOK), alert);
    const found = sections.find(({ anchor }) => anchor === url.slice(RUNBOOK.length));
    assert.ok(found, `${alert}: docs/operations.md has no section "${url}"`);
    assert.ok(found.section.includes(`\`${alert}\``), `the section that ${alert} leads to does not name it`);
  }
  for (const [, anchor] of text.matchAll(/\]\(#([^)]+)\)/g)) {
    assert.ok(sections.some((section) => section.anchor === anchor), `docs/operations.md links to #${anchor}`);
  }
  for (const [, name] of text.matchAll(/\b((?:xdpsteer|process)_[a-z_]+)\b/g)) {
    assert.ok(name! in METRICS, `docs/operations.md names ${name}`);
  }
});

Deno.test("the dashboard can be imported: its ids are unique, its panels do not overlap, its variables exist", () => {
  assert.deepEqual([dashboard.uid, dashboard.title], ["xdpsteer", "xdpsteer"]);
  assert.ok(dashboard.schemaVersion >= 36);
  const variables = dashboard.templating.list;
  assert.deepEqual(variables.map(({ name, type }) => `${name} ${type}`), [
    "datasource datasource",
    "instance query",
    "interface query",
  ]);
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, "ids");
  const taken = new Map<string, string>();
  for (const { title, gridPos: { x, y, w, h } } of dashboard.panels) {
    assert.ok(x >= 0 && y >= 0 && w > 0 && h > 0 && x + w <= 24, `${title} leaves the grid`);
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) {
        const cell = `${column} ${line}`;
        assert.equal(taken.get(cell), undefined, `${title} lies over ${taken.get(cell)}`);
        taken.set(cell, title);
      }
    }
  }
  for (const { title, description, datasource, targets = [] } of panels) {
    assert.ok(description, `${title} has no description`);
    assert.equal(datasource?.uid, "${datasource}", title);
    assert.ok(targets.length > 0, `${title} shows nothing`);
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    for (const { expr } of targets) assert.match(expr, /\$instance/, `${title} is not limited to the instance chosen`);
  }
  const known = new Set(["__rate_interval", ...variables.map(({ name }) => name)]);
  for (const [, name] of JSON.stringify(panels).matchAll(/\$\{?(\w+)/g)) assert.ok(known.has(name!), `$${name}`);
});

Deno.test("Prometheus reads every expression of the dashboard", () => assertExpressions(dashboardExpressions));

Deno.test("what alerts and dashboard ask for is in the scrape of a running appliance", async () => {
  await using directory = await TempDir.create();
  await using network = await TestNetwork.create();
  await using box = await startAppliance(network, {
    rules: [
      `{ name: game, ports: 7777, worker: 0, action: echo, capture: ${directory.path}/game.pcapng }`,
      "{ name: scanners, ports: 19, action: drop }",
      "{ name: local, ports: 5300, action: { deliver: { port: 5353 } } }",
      `{ name: guarded, ports: 5400, sources: { deny: ["${IPV4.client}"] } }`,
      "{ name: limited, ports: 5500, limit: { total: { packets: 1/s, burst: 1 } } }",
      `{ name: dns, ports: 53, action: { forward: { to: ["${IPV4.client}:53", "game.example.test:53"] } } }`,
    ],
    sections: ["lists: [{ name: office, entries: [192.0.2.0/24] }]"],
  });
  await runTraffic(network, "udp", { ports: [7777, 19, 5300, 5400, 5500, 61000], flows: 10, packetsPerFlow: 100 });
  await settled(box);
  const samples = [...(await box.metrics()).keys()].map((key): Sample => {
    const [, le] = /[{,]le="([^"]*)"/.exec(key) ?? [];
    const labels = { ...parseSample(key).labels, ...TARGET_LABELS, ...le === undefined ? {} : { le } };
    return { name: key.split("{")[0]!, labels };
  });
  const queries = dashboard.templating.list.filter(({ type }) => type === "query").map(({ query }) =>
    withoutVariables(JSON.stringify(query).replaceAll("\\", ""))
  );
  const expressions = [...alerts.map(({ expr }) => expr), ...dashboardExpressions, ...queries];
  const fates = [...FATES, ...KERNEL_FATES];
  for (const expression of expressions) {
    assert.ok(
      selectorsOf(expression).length > 0 || expression.includes("up{"),
      `what does this ask for: ${expression}`,
    );
  }
  for (const selector of expressions.flatMap(selectorsOf)) {
    // Fates without packets have no sample, so they are held against the list of them all.
    const others = selector.matchers.filter(({ label }) => label !== "fate");
    const found = samples.filter((sample) => matches({ ...selector, matchers: others }, sample));
    assert.ok(found.length > 0, `nothing in the scrape is ${selector.text}`);
    for (const { label, value } of selector.matchers) {
      assert.ok(label in found[0]!.labels, `${selector.text}: there is no label ${label}`);
      if (label !== "fate") continue;
      for (const fate of value.split("|")) {
        assert.ok(fates.includes(fate), `${selector.text}: there is no fate ${fate}`);
      }
    }
  }
  for (const [, list] of expressions.join("\n").matchAll(/\b(?:by|on|group_left) \(([^)]*)\)/g)) {
    for (const label of list!.split(/, */)) {
      assert.ok(samples.some(({ labels }) => label in labels), `no sample has the label "${label}"`);
    }
  }
});
