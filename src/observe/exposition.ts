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

/** Counters by `name{labels}`, which a process before this one has counted up to. */
export type Carried = ReadonlyMap<string, number>;

/** One scrape in the making. */
export class Exposition {
  readonly #samples = new Map<MetricName, string[]>();
  /** Of {@linkcode carried}, those that are not added to a sample yet. */
  readonly #left: Map<string, number>;

  /** @param carried Added to the samples of these names and labels. */
  constructor(private readonly carried: Carried = new Map()) {
    this.#left = new Map(carried);
  }

  /** Adds a sample. Its labels must be those of the table, in that order. */
  add(name: MetricName, own: number, labels: Labels = ""): void {
    let value = own;
    if (this.carried.size > 0) {
      const key = `${name}{${labels}}`;
      value += this.carried.get(key) ?? 0;
      this.#left.delete(key);
    }
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
    this.#addLeft();
    const families = Object.entries<MetricFamily>(METRICS).map(([name, { type, help }]) =>
      `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${this.#samples.get(name as MetricName)?.join("") ?? ""}`
    );
    return families.join("");
  }

  /** The samples of counters of the process, for one that comes after it. */
  samplesOfProcess(): [key: string, value: number][] {
    this.#addLeft();
    return Object.entries<MetricFamily>(METRICS).filter(([, { ofProcess }]) => ofProcess).flatMap(([name]) => {
      const lines = (this.#samples.get(name as MetricName) ?? []).join("").split("\n").slice(0, -1);
      return lines.map((line): [string, number] => {
        const space = line.lastIndexOf(" ");
        const key = line.slice(0, space);
        return [key.endsWith("}") ? key : `${key}{}`, Number(line.slice(space + 1))];
      });
    });
  }

  /** What nobody counts in this process yet does not disappear. */
  #addLeft(): void {
    for (const key of [...this.#left.keys()]) {
      const [name, labels] = splitKey(key);
      this.add(name, 0, labels);
    }
  }
}

function splitKey(key: string): readonly [name: MetricName, labels: Labels] {
  const brace = key.indexOf("{");
  return [key.slice(0, brace) as MetricName, key.slice(brace + 1, -1)];
}

function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value) ? value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n") : value;
}
