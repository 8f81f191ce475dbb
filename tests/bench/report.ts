/** Results as a table, as JSON, and as a chart. */
import { table } from "../../src/cli/output.ts";
import { median, medianRatio } from "./stats.ts";
import type { Result } from "./results.ts";

export interface Machine {
  readonly cores: number;
  readonly kernel: string;
  readonly cpu: string;
  readonly loadBefore: number;
  readonly loadAfter: number;
  readonly deno: string;
  readonly date: string;
}

/** How a subject compares with its baselines, by their names: above 1 is more of the unit. */
export function ratiosOf(result: Result, results: readonly Result[]): Readonly<Record<string, number>> {
  const ratios = (result.baselines ?? []).map((name): [string, number] => {
    const baseline = results.find(({ workload, subject }) => workload === result.workload && subject === name)!;
    return [name, medianRatio(result.values, baseline.values)];
  });
  return Object.fromEntries(ratios);
}

const round = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

export function renderTable(results: readonly Result[]): string {
  return table(
    ["WORKLOAD", "SUBJECT", "MEDIAN", "MIN", "MAX", "UNIT", "RATIO"],
    results.map((result) => [
      result.workload,
      result.subject,
      round(median(result.values)),
      round(Math.min(...result.values)),
      round(Math.max(...result.values)),
      `${result.unit}${result.better === "lower" ? " (less is better)" : ""}`,
      Object.entries(ratiosOf(result, results)).map(([name, ratio]) => `${ratio.toFixed(2)} × ${name}`).join(", "),
    ]),
  );
}

export function renderJson(machine: Machine, results: readonly Result[]): string {
  const rows = results.map((result) => ({
    ...result,
    median: median(result.values),
    ratios: ratiosOf(result, results),
  }));
  return `${JSON.stringify({ machine, results: rows }, null, 2)}\n`;
}

const WIDTH = 860;
const LEFT = 330;
const ROW = 20;
const BAR = WIDTH - LEFT - 110;

/** Bars by workload, each workload on its own scale; a whisker from the slowest to the fastest round. */
export function renderSvg({ cores, kernel, cpu }: Machine, results: readonly Result[]): string {
  const workloads = [...new Set(results.map(({ workload }) => workload))];
  const parts: string[] = [];
  let y = 56;
  for (const workload of workloads) {
    const rows = results.filter((result) => result.workload === workload);
    const scale = BAR / Math.max(...rows.flatMap(({ values }) => values), Number.MIN_VALUE);
    parts.push(
      `<text x="12" y="${y}" class="w">${escape(workload)}${
        rows[0]!.better === "lower" ? " (less is better)" : ""
      }</text>`,
    );
    for (const result of rows) {
      y += ROW;
      const value = median(result.values);
      const [from, to] = [Math.min(...result.values) * scale, Math.max(...result.values) * scale];
      const ours = result.subject.startsWith("xdpsteer");
      parts.push(
        `<text x="${LEFT - 8}" y="${y}" class="s">${escape(result.subject)}</text>`,
        `<rect x="${LEFT}" y="${y - 11}" width="${Math.max(value * scale, 1).toFixed(1)}" height="13" class="${
          ours ? "o" : "b"
        }"/>`,
        `<path d="M${(LEFT + from).toFixed(1)} ${y - 4.5}H${(LEFT + to).toFixed(1)}" class="r"/>`,
        `<text x="${(LEFT + to + 6).toFixed(1)}" y="${y}" class="v">${round(value)} ${escape(result.unit)}</text>`,
      );
    }
    y += ROW + 10;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="12">
<style>.w{font-weight:600}.s{text-anchor:end}.b{fill:#9aa4b2}.o{fill:#2f6fde}.r{stroke:#222;stroke-width:1.5}.v{fill:#333}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="12" y="24" font-size="15" font-weight="700">xdpsteer beside C: medians, whiskers from the lowest to the highest round</text>
<text x="12" y="40" fill="#555">${
    escape(`${cores} cores, ${cpu}, Linux ${kernel}, veth in native XDP and copy mode`)
  }</text>
${parts.join("\n")}
</svg>
`;
}

function escape(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}
