/**
 * Reading the Prometheus text format.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type MetricFamily, type MetricName, METRICS } from "../../src/observe/metric_families.ts";

/** All samples of a scrape, keyed as they stand there. */
export function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const end = line.lastIndexOf(" ");
    samples.set(line.slice(0, end), Number(line.slice(end + 1)));
  }
  return samples;
}

/** The sum of a metric's samples that have all of these labels. */
export function sumOf(
  metrics: ReadonlyMap<string, number>,
  name: string,
  labels: Readonly<Record<string, string | number>> = {},
): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  let sum = 0;
  for (const [sample, value] of metrics) {
    const brace = sample.indexOf("{");
    if ((brace < 0 ? sample : sample.slice(0, brace)) !== name) continue;
    const present = brace < 0 ? [] : sample.slice(brace + 1, -1).split(",");
    if (wanted.every((label) => present.includes(label))) sum += value;
  }
  return sum;
}

/** Counters that are smaller in `after` than in `before`, or gone. There must be none. */
export function wentBack(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string[] {
  return [...before].filter(([sample, value]) => {
    const isCounter = /_total(\{|$)/.test(sample);
    return isCounter && (after.get(sample) ?? -1) < value;
  }).map(([sample, value]) => `${sample} went from ${value} to ${after.get(sample)}`);
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** A sample's key in a scrape, taken apart. No label of ours has a comma or a quotation mark in its value. */
export function parseSample(key: string): Sample {
  const [, name = "", list = ""] = /^(\w+)(?:\{(.*)\})?$/.exec(key) ?? assert.fail(key);
  const labels = [...list.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label!, value!]);
  const family = name.replace(/_(bucket|sum|count)$/, "") as MetricName;
  const isHistogram = name !== family && (METRICS as Record<string, MetricFamily>)[family]?.type === "histogram";
  if (!isHistogram) return { name, labels: Object.fromEntries(labels) };
  return { name: family, labels: Object.fromEntries(labels.filter(([label]) => label !== "le")) };
}
