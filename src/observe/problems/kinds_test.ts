import assert from "node:assert/strict";
import { parse } from "yaml";
import { entryOf, PROBLEM_KINDS, type ProblemKind } from "./kinds.ts";

const root = new URL("../../../", import.meta.url);
const read = (path: string): Promise<string> => Deno.readTextFile(new URL(path, root));

/** Their alerts ask for other metrics, whose labels name the interface, the worker, the backend or the rule. */
const TOLD_BY_COUNTERS: readonly ProblemKind[] = [
  "worker_down",
  "deadman_on",
  "interface_gone",
  "program_detached",
  "interface_down",
  "uncovered_queue",
  "backend_unhealthy",
  "backend_no_route",
  "backend_not_steered",
  "next_hop_dead",
  "sessions_full",
  "packets_too_big",
  "packets_lost",
  "steering_changed",
  "paused",
  "answers_lost",
];

Deno.test("each kind of problem has words, a remedy, an alert that fires for it, and a line in docs/operations.md", async () => {
  const alerts: { alert: string; expr: string; labels: { severity: string } }[] = parse(
    await read("config/prometheus-alerts.yaml"),
  ).groups.flatMap(({ rules }: { rules: unknown[] }) => rules);
  const operations = await read("docs/operations.md");
  for (const kind of PROBLEM_KINDS) {
    const { words, remedy, alert, severity } = entryOf(kind);
    for (const text of [words, remedy]) assert.match(text, /^[^A-Z].*[^.]$/, `${kind}: ${text}`);
    const found = alerts.find(({ alert: name }) => name === alert);
    assert.ok(found, `${kind}: config/prometheus-alerts.yaml has no ${alert}`);
    const byKind = new RegExp(`xdpsteer_problems{kind=~?"(\\w+\\|)*${kind}(\\|\\w+)*"}`);
    assert.equal(byKind.test(found.expr), !TOLD_BY_COUNTERS.includes(kind), `${kind}: ${alert}: ${found.expr}`);
    assert.equal(found.labels.severity, severity, `${kind}: ${alert}`);
    assert.ok(operations.includes(`| \`${kind}\` `), `docs/operations.md does not tell what to do about ${kind}`);
  }
});
