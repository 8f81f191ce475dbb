/**
 * Prometheus's own checker, and reading what it checks.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Sample } from "../../support/metrics.ts";
import { ROOT, TempDir } from "./command.ts";

const PROMTOOL = `${ROOT}.tools/promtool`;

export interface Verdict {
  readonly code: number;
  /** Both streams. */
  readonly output: string;
}

/** Runs promtool; `input` is what it reads from standard input. */
export async function promtool(args: readonly string[], input = ""): Promise<Verdict> {
  await Deno.stat(PROMTOOL).catch(() => assert.fail(`there is no ${PROMTOOL}: "scripts/dev test" brings it`));
  const child = new Deno.Command(PROMTOOL, {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const written = writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await written;
  return { code, output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** promtool has nothing at all to say about a scrape. */
export async function assertCleanMetrics(scrape: string, when: string): Promise<void> {
  assert.deepEqual(await promtool(["check", "metrics"], scrape), { code: 0, output: "" }, when);
}

/** Every expression can be read by Prometheus. */
export async function assertExpressions(expressions: readonly string[]): Promise<void> {
  await using directory = await TempDir.create();
  const file = `${directory.path}/rules.yaml`;
  const rules = expressions.map((expr, index) => ({ record: `checked:${index}`, expr }));
  await Deno.writeTextFile(file, JSON.stringify({ groups: [{ name: "checked", rules }] })); // JSON is YAML
  const { code, output } = await promtool(["check", "rules", file]);
  assert.equal(code, 0, output);
  assert.match(output, new RegExp(`SUCCESS: ${expressions.length} rules found`));
}

interface Matcher {
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

export interface Selector {
  readonly text: string;
  readonly name: string;
  readonly matchers: readonly Matcher[];
}

/** The selectors of our own and the process's metrics in an expression. */
export function selectorsOf(expression: string): Selector[] {
  return [...expression.matchAll(/\b((?:xdpsteer|process)_\w+)(?:\{([^}]*)\})?/g)].map(([text, name, list = ""]) => ({
    text,
    name: name!,
    matchers: [...list.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].map(([, label, operator, value]) => ({
      label: label!,
      operator: operator!,
      value: value!,
    })),
  }));
}

export function matches({ name, matchers }: Selector, sample: Sample): boolean {
  return name === sample.name && matchers.every(({ label, operator, value }) => {
    const found = sample.labels[label] ?? "";
    const equal = operator.endsWith("~") ? new RegExp(`^(?:${value})$`).test(found) : found === value;
    return operator.startsWith("!") ? !equal : equal;
  });
}
