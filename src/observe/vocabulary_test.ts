/** Alerts, Grafana's dashboard and the documents, held against the tables that they speak of. */
import assert from "node:assert/strict";
import { REASON_NAMES, VERDICTS } from "../bpf/reasons.ts";
import { FATE_TABLE, FATES } from "../steering/fate.ts";
import { LOST_COUNTERS, SOCKET_COUNTERS } from "../xsk/socket_counters.ts";
import { METRICS } from "./metric_families.ts";
import { KERNEL_FATES, OUTCOMES } from "./vocabulary.ts";

const read = (file: string): Promise<string> => Deno.readTextFile(new URL(`../../${file}`, import.meta.url));
const ALERTS = await read("config/prometheus-alerts.yaml");
const DASHBOARD = (await read("config/grafana-dashboard.json")).replaceAll('\\"', '"');
const OPERATIONS = await read("docs/operations.md");

/** Metrics that nobody needs a picture or an alert of; each with why. */
const NOT_SHOWN: Readonly<Record<string, string>> = {
  xdpsteer_queue_zero_copy: "does not change while the process lives",
  xdpsteer_config_last_reload_timestamp_seconds: "the panel beside it tells whether it was refused",
  xdpsteer_log_lines_lost_total: "the log says where lines are missing, and an alert that nobody reads it",
  process_virtual_memory_bytes: "V8 reserves address space that says nothing",
};

interface Matcher {
  readonly metric: string;
  readonly label: string;
  readonly operator: string;
  readonly values: readonly string[];
}

/** What selectors ask of a label: `xdpsteer_x{reason=~"a|b"}`. */
function matchersOf(text: string): Matcher[] {
  return [...text.matchAll(/\b(\w+)\{([^}]*)\}/g)].flatMap(([, metric, inner]) =>
    [...inner!.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].map(([, label, operator, value]) => ({
      metric: metric!,
      label: label!,
      operator: operator!,
      values: value!.split("|"),
    }))
  );
}

const KNOWN: Readonly<Record<string, readonly string[]>> = {
  fate: [...FATES, ...KERNEL_FATES],
  verdict: VERDICTS,
  reason: [...REASON_NAMES, ...SOCKET_COUNTERS],
};
const PLACES = { ALERTS, DASHBOARD, OPERATIONS };

Deno.test("alerts, dashboard and runbook ask for verdicts, reasons and fates that there are", () => {
  for (const [place, text] of Object.entries(PLACES)) {
    for (const { metric, label, values } of matchersOf(text)) {
      for (const value of Object.hasOwn(KNOWN, label) ? values : []) {
        assert.ok(KNOWN[label]!.includes(value), `${place}: ${metric} has no ${label} "${value}"`);
      }
    }
  }
});

Deno.test("lost packets are the same counters wherever they are asked for", () => {
  for (const [place, text] of Object.entries(PLACES)) {
    const found = matchersOf(text).filter(({ metric, operator }) =>
      metric === "xdpsteer_xsk_drops_total" && operator === "=~"
    ).filter(({ label, values }) =>
      label === "reason" && values.some((value) => LOST_COUNTERS.includes(value as never))
    );
    assert.ok(found.length > 0, place);
    for (const { values } of found) assert.deepEqual(values, LOST_COUNTERS, `${place}: SOCKET_COUNTER_TABLE says lost`);
  }
});

Deno.test("Grafana shows every fate that is no drop as none, and all others as drops", () => {
  const kept = matchersOf(DASHBOARD).filter(({ label, operator }) => label === "fate" && operator === "!~");
  const served = FATES.filter((fate) => FATE_TABLE[fate].served);
  assert.equal(kept.length, 2, "the panels Dropped and Answers dropped");
  for (const { values } of kept) assert.deepEqual(values, ["passed", "delivered", ...served]);
});

Deno.test("every metric is in Grafana's dashboard or in an alert", () => {
  const shown = (name: string): boolean =>
    [ALERTS, DASHBOARD].some((text) => new RegExp(`\\b${name}(_bucket)?\\b`).test(text));
  const missing = Object.keys(METRICS).filter((name) => !shown(name));
  assert.deepEqual(
    missing.sort(),
    Object.keys(NOT_SHOWN).sort(),
    "add a panel to config/grafana-dashboard.json, or say in NOT_SHOWN why there is none",
  );
});

Deno.test("the runbook has every counter of a socket", () => {
  for (const counter of SOCKET_COUNTERS) {
    assert.ok(OPERATIONS.includes(`\`${counter}\``), `docs/operations.md, "Packets are lost at a socket": ${counter}`);
  }
});

Deno.test("every outcome has a name and words of its own", () => {
  const names = OUTCOMES.map(({ where, reason }) => `${where} ${reason}`);
  assert.equal(new Set(names).size, names.length);
  for (const { reason, words } of OUTCOMES) assert.match(words, /^[a-zI].*[^.]$/, reason);
});
