/**
 * Writing the Prometheus text format, version 0.0.4. A scrape shares the CPUs with the workers, so it is strings put
 * together, and no more.
 *
 * @see {@link https://prometheus.io/docs/instrumenting/exposition_formats/}
 * @module
 */
import { type MetricFamily, type MetricName, METRICS } from "./metric_families.ts";

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Labels as a sample has them, `a="1",b="2"`: made once where several samples share them. */
export type Labels = string;

export function labels(values: Readonly<Record<string, string | number>>): Labels {
  let text = "";
  for (const name in values) text += `${text === "" ? "" : ","}${name}="${escapeLabel(`${values[name]}`)}"`;
  return text;
}

/** One scrape in the making. */
export class Exposition {
  readonly #samples = new Map<MetricName, string[]>();

  /** Adds a sample. Its labels must be those of the table, in that order. */
  add(name: MetricName, value: number, labels: Labels = ""): void {
    let samples = this.#samples.get(name);
    if (samples === undefined) this.#samples.set(name, samples = []);
    if (labels === "") samples.push(name, " ", `${value}`, "\n");
    else samples.push(name, "{", labels, "} ", `${value}`, "\n"); // joined once: no string for each sample
  }

  /**
   * Adds the samples of a histogram.
   *
   * @param ends Upper ends of the buckets; the last of `counts` is beyond them.
   */
  addHistogram(
    name: MetricName,
    ends: readonly number[],
    counts: readonly number[],
    sum: number,
    labels: Labels,
  ): void {
    let samples = this.#samples.get(name);
    if (samples === undefined) this.#samples.set(name, samples = []);
    let total = 0;
    for (const [bucket, count] of counts.entries()) {
      total += count;
      const end = ends[bucket] === undefined ? "+Inf" : `${Number(ends[bucket].toPrecision(6))}`;
      samples.push(`${name}_bucket{${labels},le="${end}"} ${total}\n`);
    }
    samples.push(`${name}_sum{${labels}} ${sum}\n${name}_count{${labels}} ${total}\n`);
  }

  /**
   * All samples, each family's together and under its head, in the order of the table. A family without samples has its
   * head.
   */
  text(): string {
    const families = Object.entries<MetricFamily>(METRICS).map(([name, { type, help }]) =>
      `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${this.#samples.get(name as MetricName)?.join("") ?? ""}`
    );
    return families.join("");
  }
}

function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value) ? value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n") : value;
}
