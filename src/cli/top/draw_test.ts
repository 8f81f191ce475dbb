import assert from "node:assert/strict";
import { QUIET_BACKEND } from "../../../tests/support/backend_status.ts";
import { type MadeUpStatus, statusAnswer } from "../../../tests/support/status_answer.ts";
import type { Problem } from "../../observe/problems/kinds.ts";
import { drawBlock, drawFrame, type Frame, type FrameOptions } from "./draw.ts";
import { computeRates, Trends } from "./rates.ts";
import { type Line, lineWidth, renderLine } from "./text.ts";
import { FIRST_VIEW } from "./view.ts";

const RULES = [
  { name: "web", packets: 5000, ports: "80,443" },
  { name: "scanners", packets: 9000, ports: "19", action: "drop" },
  { name: "a-rule-with-quite-a-long-name-that-nobody-would-want-to-type-in", packets: 1, ports: "1-2,4-5,7-8,10-11" },
] as const;

function frame(status: Partial<MadeUpStatus>, options: Partial<FrameOptions> = {}): Frame {
  const full = { uptimeMs: 3_723_000, rules: RULES, ...status };
  const before = statusAnswer({ ...full, uptimeMs: full.uptimeMs - 1000, rules: [], lost: 0 });
  const trends = new Trends();
  const rates = computeRates(statusAnswer(full), before);
  trends.add(rates);
  return drawFrame(rates, trends, { columns: 110, rows: 32, view: FIRST_VIEW, intervalMs: 1000, ...options });
}

const texts = (lines: readonly Line[]): string[] => lines.map((line) => renderLine(line, "none"));
/** First words of the lines between the heading that begins with a word and the next blank line. */
function firstWords(lines: readonly Line[], heading: string): string[] {
  const all = texts(lines);
  const from = all.findIndex((text) => text.startsWith(heading)) + 1;
  return all.slice(from, all.indexOf("", from)).map((text) => text.split(" ")[0]!);
}
const manyRules = (count: number): MadeUpStatus["rules"] =>
  Array.from({ length: count }, (_, index) => ({ name: `rule-${index}`, packets: 10_000 - index }));

Deno.test("drawFrame() fills the terminal exactly and is never wider, whatever its size", () => {
  for (const columns of [1, 2, 9, 20, 40, 60, 79, 80, 81, 99, 110, 132, 250]) {
    for (const rows of [1, 2, 5, 8, 10, 24, 32, 70]) {
      for (const help of [false, true]) {
        const view = { ...FIRST_VIEW, help };
        const { lines } = frame({ rules: [...RULES, ...manyRules(20)], lost: 3 }, { columns, rows, view });
        assert.equal(lines.length, rows);
        for (const line of lines) assert.ok(lineWidth(line) <= columns, `${columns}: ${texts([line])}`);
      }
    }
  }
});

Deno.test("drawFrame() shows something sensible at any size from 1x1 to 200x60", () => {
  const status = { rules: manyRules(14), workers: 5, queues: 3 };
  for (const columns of [1, 2, 3, 5, 8, 13, 20, 30, 39, 40, 41, 60, 80, 132, 200]) {
    for (const rows of [...Array.from({ length: 26 }, (_, index) => index + 1), 60]) {
      for (let focus = 0; focus < 3; focus++) {
        const view = { ...FIRST_VIEW, focus, offsets: [1e9, 1, 0] };
        const { lines, offsets, page } = frame(status, { columns, rows, view });
        const size = `${columns}x${rows}`;
        assert.equal(lines.length, rows, size);
        assert.ok(lines.every((line) => lineWidth(line) <= columns), size);
        assert.ok(page >= 1 && offsets.every((offset) => offset >= 0 && offset < 14), size);
        const all = texts(lines).join("\n");
        for (const [, first, last, count] of all.matchAll(/(\d+)-(\d+) of (\d+) /g)) {
          assert.ok(Number(first) >= 1 && Number(first) <= Number(last) && Number(last) <= Number(count), all);
        }
        if (columns < 40) continue;
        assert.match(all, /^xdpsteer 1\.2\.3 /, size);
        if (rows > 2) assert.match(all, [/^rule-\d+ /m, /^\d +running/m, /^eth7 +\d/m][focus]!, `${size}\n${all}`);
        if (rows > 2) assert.match(all, [/^RULE/m, /^WORKER/m, /^INTERFACE/m][focus]!, size);
      }
    }
  }
});

Deno.test("drawFrame() prints no control characters of names from elsewhere", () => {
  const all = texts(frame({ rules: [{ name: "a\x1b[2Jb", packets: 1 }] }).lines).join("\n");
  assert.ok(all.includes("a\\x1b[2Jb"), all);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(all, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
});

Deno.test("drawFrame() shows rates, totals, drops and shares", () => {
  const all = texts(frame({ lost: 20 }).lines).join("\n");
  assert.match(all, /^xdpsteer 1\.2\.3 {2}up 01:02:03 {2}generation 7\neth7 \(native XDP\)\n/);
  assert.match(all, /^per second +14,021 +5,021 +0 +9,000 +20$/m);
  assert.match(all, /^web +80,443 +0 +count +5,000 +4\.0 +5,000 +0 +35\.7 % {2}/m);
  assert.match(all, /^scanners +19 +0 +drop +9,000 +7\.2 +9,000 +9,000 +64\.2 % {2}/m);
  assert.match(all, /^0 +running +any +5,001 +█{10} +100\.0 % +0 +5,001 /m);
  assert.match(all, /^eth7 +0 +copy +5,001 +1,000\/4,096 +0\/2,048 +1\/2,048 +rx_ring_full 20 \(\+20\/s\)$/m);
  assert.match(all, /^eth7 +1 +copy +0 +1,000\/4,096 +0\/2,048 +1\/2,048 +none$/m);
});

Deno.test("drawFrame() leaves out columns before it cuts numbers", () => {
  const heading = (columns: number): string => texts(frame({}, { columns }).lines).find((text) => /^RULE/.test(text))!;
  assert.match(heading(140), /SHARE +TREND/);
  assert.match(heading(80), /^RULE +PORTS +WORKER +ACTION +PPS ▼ +MBIT\/S +TOTAL +DROPS/);
  assert.match(heading(60), /^RULE +PORTS +WORKER +PPS ▼ +TOTAL +DROPS$/);
  assert.match(texts(frame({}, { columns: 60 }).lines).join("\n"), /^web +80,443 +0 +5,000 +5,000 +0$/m);
});

Deno.test("drawFrame() sorts by the column chosen, marks it, and reverses", () => {
  const long = RULES[2].name;
  const order = (sort: number, reversed = false): string[] =>
    firstWords(frame({}, { columns: 200, view: { ...FIRST_VIEW, sort, reversed } }).lines, "RULE");
  assert.deepEqual(order(0), ["scanners", "web", long]);
  assert.deepEqual(order(0, true), [long, "web", "scanners"]);
  assert.deepEqual(order(2), [long, "scanners", "web"]);
  assert.deepEqual(order(3), ["scanners", "web", long]);
  const { lines } = frame({}, { view: { ...FIRST_VIEW, sort: 2, reversed: true } });
  assert.ok(texts(lines).some((text) => text.startsWith("RULE ▼")));
});

Deno.test("drawFrame() scrolls as far as there are rows, and says where it is", () => {
  const view = { ...FIRST_VIEW, offsets: [1e9, 0, 0] };
  const { lines, offsets, page } = frame({ rules: manyRules(100) }, { view });
  const shown = firstWords(lines, "RULE");
  assert.equal(shown.at(-1), "rule-99");
  assert.equal(shown.length, page);
  assert.equal(offsets[0], 100 - page);
  assert.ok(texts(lines).some((text) => text.endsWith(`${101 - page}-100 of 100 rules ↑↓`)));
  assert.deepEqual(firstWords(lines, "WORKER"), ["0", "1"], "the smaller tables are whole");
});

Deno.test("drawFrame() shares few rows fairly", () => {
  const { lines } = frame({ rules: manyRules(50), workers: 50, queues: 50 });
  const counts = ["RULE", "WORKER", "INTERFACE"].map((heading) => firstWords(lines, heading).length);
  assert.deepEqual(counts.reduce((sum, count) => sum + count), 32 - 7 - 1 - 5);
  assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${counts}`);
});

Deno.test("drawFrame() says in words what it also says in colour", () => {
  const lastReload = { time: "2026-01-02T03:04:05.678Z", result: "refused", message: "x.yaml:1:2: no\x1b[2J\nmore" };
  const problem = 'Cannot reach xdpsteer at "/run/x": ENOENT';
  const refused = frame({ lastReload }, { problem }).lines;
  const all = texts(refused);
  assert.match(all[0]!, / NOT REACHABLE, RETRYING/);
  assert.equal(all[5], "reload REFUSED at 2026-01-02T03:04:05Z (1 refused): x.yaml:1:2: no [2J");
  assert.equal(all.at(-1), problem);
  assert.ok(refused[5]!.some(({ style }) => style === "bad"));
  assert.match(texts(frame({}, { view: { ...FIRST_VIEW, paused: true } }).lines)[0]!, / PAUSED/);
  const narrow = frame({}, { problem, columns: 30 }).lines;
  assert.match(texts(narrow)[0]!, /^ NOT REACHABLE, RETRYING /, "first where not both fit");
});

const PROBLEMS: readonly Problem[] = ["dns", "web", "game"].map((name) => ({
  kind: "rule_without_backend",
  severity: "critical",
  subject: { kind: "rule", name },
  since: "2026-01-02T03:04:05.678Z",
  message: `Rule ${name} has no usable backend, so its packets are lost`,
  fix: "ip route get 10.0.0.1",
  detail: null,
  stops: "rule",
}));

Deno.test("drawFrame() says what is wrong at any size, with what to do where there is room", () => {
  const at = (columns: number, rows: number, problems = PROBLEMS): string[] =>
    texts(frame({ problems }, { columns, rows }).lines);
  const large = at(110, 32);
  assert.equal(large[2], "CRITICAL Rule dns has no usable backend, so its packets are lost");
  assert.equal(large[3], "         fix: ip route get 10.0.0.1");
  assert.equal(large[7], "         fix: ip route get 10.0.0.1");
  assert.equal(at(40, 10)[1], " 3 PROBLEMS  Rule dns has no usable bac…");
  assert.match(at(40, 3)[1]!, /^ 3 PROBLEMS {2}Rule dns/);
  for (let rows = 1; rows <= 40; rows++) {
    const lines = at(60, rows);
    assert.equal(lines.length, rows);
    if (rows > 2) assert.ok(lines.some((line) => line.includes("Rule dns")), `${rows} rows`);
  }
  assert.deepEqual(at(80, 24, []).filter((line) => line.includes("problem")), []);
});

const BACKENDS: NonNullable<MadeUpStatus["backends"]> = [1, 2, 3].map((host) => ({
  name: `10.0.0.${host}:53`,
  rules: host === 2 ? [] : ["dns"],
  sessions: 1000 * host,
  ...QUIET_BACKEND,
  ...(host === 2 ? { drain: { by: "file" as const, since: null, until: null, movedTo: null } } : {}),
  leavingSeconds: host === 2 ? 9 : null,
  health: null,
  nextHop: host === 3 ? null : { interface: "eth1", mac: "02:00:00:00:00:01", mtu: 1500 },
  noWay: host === 3 ? { kind: "not_attached", interface: "eth1", text: "" } : null,
}));

Deno.test("drawFrame() shows backends where there are any: what is wrong, and which leave, first", () => {
  const rows = firstWords(frame({ backends: BACKENDS }).lines, "BACKEND");
  assert.deepEqual(rows, ["10.0.0.3:53", "10.0.0.2:53", "10.0.0.1:53"]);
  const all = texts(frame({ backends: BACKENDS }).lines).join("\n");
  assert.match(all, /^10\.0\.0\.3:53 +dns +NOT REACHED +eth1: NOT ATTACHED +3,000 +0 +0 +- +not che/m);
  assert.match(all, /^10\.0\.0\.2:53 +\(leaving.* leaving +eth1 +2,000 +0 +0 +- +not che/m);
  assert.match(
    texts(drawBlock(computeRates(statusAnswer({ uptimeMs: 1, rules: [], backends: BACKENDS })))).join("\n"),
    /leaving for 9 s/,
  );
});

Deno.test("drawFrame() gives the focus back to the rules where the backends are gone", () => {
  const view = { ...FIRST_VIEW, focus: 3, offsets: [0, 0, 0, 2] };
  const { focus, sections, offsets } = frame({}, { view });
  assert.deepEqual({ focus, sections, offsets }, { focus: 0, sections: 3, offsets: [0, 0, 0, 0] });
  const few = frame({ backends: BACKENDS }, { view, rows: 9 });
  assert.deepEqual([few.focus, few.sections], [3, 4]);
  assert.ok(texts(few.lines).some((line) => line.startsWith("BACKEND")), "the one table that is shown");
  for (let rows = 1; rows < 30; rows++) {
    for (const columns of [20, 60, 110]) {
      const { lines } = frame({ backends: BACKENDS }, { view, rows, columns });
      assert.ok(lines.length === rows && lines.every((line) => lineWidth(line) <= columns), `${columns}x${rows}`);
    }
  }
});

Deno.test("drawFrame() puts no colon behind a reload that changed nothing", () => {
  const lastReload = { time: "2026-01-02T03:04:05.678Z", result: "unchanged", message: "" };
  const line = texts(frame({ lastReload }).lines).find((text) => text.startsWith("reload"));
  assert.equal(line, "reload unchanged at 2026-01-02T03:04:05Z ()");
});

Deno.test("drawBlock() cuts nothing and draws no trend", () => {
  const all = texts(drawBlock(computeRates(statusAnswer({ uptimeMs: 1000, rules: RULES })))).join("\n");
  assert.ok(all.includes(RULES[2].name));
  assert.ok(!all.includes("TREND"));
  assert.match(all, /^per second +- +- +- +- +-$/m, "no rates yet");
});
