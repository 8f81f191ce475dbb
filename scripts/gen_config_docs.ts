/**
 * Writes the documents that follow from the code: docs/configuration.md from the configuration's schema,
 * docs/metrics.md from the tables of metrics, reasons, socket counters and fates, the table of fates in
 * docs/forwarding.md, and that of problems in docs/operations.md. Every example in them is parsed first. With `--check`
 * it compares instead, and fails when a file is stale.
 */
// deno-lint-ignore-file no-console
import { z } from "zod";
import { parseConfig } from "../src/config/parse.ts";
import { configSchema } from "../src/config/schema.ts";
import { type MetricFamily, METRICS } from "../src/observe/metric_families.ts";
import { KERNEL_FATES, type Outcome, OUTCOMES } from "../src/observe/vocabulary.ts";
import { entryOf, PROBLEM_KINDS } from "../src/observe/problems/kinds.ts";
import { ACTION_KINDS, ACTION_TABLE, type ActionKind } from "../src/steering/action.ts";
import { type Fate, FATE_TABLE, FATES } from "../src/steering/fate.ts";
import { LOST_COUNTERS, SOCKET_COUNTER_TABLE, SOCKET_COUNTERS } from "../src/xsk/socket_counters.ts";
import { type Way, wayOf, WAYS } from "../src/appliance/fixed.ts";
import { ConfigError } from "../src/errors.ts";
import { CONFIG_PAGE, EXAMPLES, METRICS_PAGE, MISTAKES } from "./config_docs_text.ts";
import { COMPANIONS, KEY_EXAMPLES, KEY_VALUES } from "./config_keys_text.ts";

/** What is used of a JSON Schema. */
interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly (string | number)[];
  readonly const?: unknown;
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/** CPUs of the machine the examples are parsed for. */
const CPU_COUNT = 4;

/** The keys that must be there, by section. */
const required = new Map<string, readonly string[]>();
/** The example of each key, as YAML. */
const shown = new Map<string, string>();

/** A section may be left empty, which is null: what counts is the other alternative. */
function withoutNull(schema: Schema): Schema {
  const others = schema.anyOf?.filter(({ type }) => type !== "null");
  return others?.length === 1
    ? { ...others[0]!, ...schema.description && { description: schema.description } }
    : schema;
}

/** The values a key takes, in words. */
function values(schema: Schema): string {
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum !== undefined) {
    const [first, second] = schema.enum;
    const many = typeof first === "number" && schema.enum.length > 2 && second === first * 2;
    return many ? `a power of two from ${first} to ${schema.enum.at(-1)}` : schema.enum.map(code).join(", ");
  }
  if (schema.anyOf !== undefined) return schema.anyOf.map(values).join(", or ");
  if (schema.type === "integer") return `a whole number${limits(schema)}`;
  if (schema.type === "number") return `a number${limits(schema)}`;
  if (schema.type === "boolean") return "`true`, `false`";
  if (schema.type === "string") return "text";
  if (schema.type === "array") return `a list of ${values(schema.items!).replace("a whole number", "whole numbers")}`;
  if (schema.properties !== undefined) return `a map with ${Object.keys(schema.properties).map(code).join(", ")}`;
  throw new Error(`scripts/config_keys_text.ts has to say what values are: ${JSON.stringify(schema)}`);
}

/** "" where there are none but those of a JSON number. */
function limits({ minimum, maximum }: Schema): string {
  return minimum === Number.MIN_SAFE_INTEGER ? "" : ` from ${minimum} to ${maximum}`;
}

function code(value: unknown): string {
  return `\`${Array.isArray(value) ? "[]" : value}\``;
}

/** One item for a key; sections within it go to `sections`. */
function describe(path: string, name: string, schema: Schema, sections: string[]): string {
  const where = path === "" ? name : `${path}.${name}`;
  const inner = withoutNull(schema);
  const description = (inner.description ?? "").replace(/ Default (\S+|"[^"]*")\.$/, "");
  const object = inner.properties ? inner : inner.items?.properties ? inner.items : undefined;
  if (object !== undefined) {
    const place = inner.items?.properties ? `${where}[]` : where;
    sections.push(section(place, description, object));
    return `- **\`${name}\`**: ${description} [Its keys](#${place.replace(/[^a-z0-9_-]/g, "")})`;
  }
  // A word, or a map with more to say: action.
  const maps = mapsAmong(inner.anyOf);
  if (maps.length > 0) sections.push(section(where, maps[0]!.description ?? description, oneOf(maps)));
  // The same of the items of a list: backends.
  for (const map of mapsAmong(inner.items?.anyOf)) {
    sections.push(section(`${where}[]`, map.description ?? description, map));
  }
  const example = KEY_EXAMPLES[where] ?? derivedExample(inner);
  if (example !== undefined) shown.set(where, example);
  const fallback = required.get(path)!.includes(name)
    ? "Required."
    : inner.default === undefined
    ? "Optional."
    : `Default: ${code(inner.default)}.`;
  return `- **\`${name}\`**: ${description}  \n  Values: ${KEY_VALUES[where] ?? values(inner)}. ${fallback}` +
    (example === undefined ? "" : ` Example: \`${name}: ${example}\``);
}

function mapsAmong(schemas: readonly Schema[] = []): Schema[] {
  return schemas.filter(({ properties }) => properties !== undefined);
}

/** Maps of which there can be one, as a single map: none of its keys is required. */
function oneOf(maps: readonly Schema[]): Schema {
  if (maps.length === 1) return maps[0]!;
  return { properties: Object.assign({}, ...maps.map(({ properties }) => properties)) };
}

/** What the schema itself offers. JSON is YAML. */
function derivedExample(schema: Schema): string | undefined {
  const value = schema.examples?.[0] ?? schema.enum?.at(-1) ?? schema.default ?? schema.minimum;
  return value === undefined ? undefined : typeof value === "string" ? value : JSON.stringify(value);
}

function section(place: string, description: string, schema: Schema): string {
  const nested: string[] = [];
  required.set(place, schema.required ?? []);
  const items = Object.entries(schema.properties!).map(([name, property]) => describe(place, name, property, nested));
  const change = waysOf(place, Object.keys(schema.properties!));
  return [`### \`${place}\``, `${description} ${change}`, items.join("\n"), ...nested].join("\n\n");
}

const WAY_WORDS: Readonly<Record<Way, string>> = {
  live: "Changes live",
  handover: "Changes by a handover",
  restart: "A change needs a restart",
};

/** How the keys of a section change. */
function waysOf(place: string, names: readonly string[]): string {
  const [top = "", ...path] = place.replaceAll("[]", "").split(".");
  const list = top === "interfaces" ? ["interfaces", "*"] : [top];
  const byWay = Object.entries(Object.groupBy(names, (name) => wayOf([...list, ...path, name])));
  const [first] = byWay;
  if (byWay.length === 1) return `${WAY_WORDS[first![0] as Way]}.`;
  return byWay.map(([way, keys]) => `${WAY_WORDS[way as Way]}: ${keys.map(code).join(", ")}.`).join(" ");
}

/** The keys that are declared to change in a way. */
function keysBy(way: Way): string {
  const keys = Object.entries(WAYS).filter(([, declared]) => declared === way).map(([key]) => key);
  const words: Readonly<Record<string, string>> = {
    interfaces: "which interfaces there are",
  };
  return keys.map((key) => words[key] ?? code(key.replace(".*", "[]"))).join(", ");
}

/** The sections of all keys. */
function keys(): string {
  const schema = z.toJSONSchema(configSchema, { target: "draft-2020-12", io: "input" }) as Schema;
  const sections: string[] = [];
  required.set("", schema.required ?? []);
  const items = Object.entries(schema.properties!).map(([name, property]) => describe("", name, property, sections));
  return [items.join("\n"), ...sections].join("\n\n");
}

function parse(text: string, what: string): void {
  try {
    parseConfig(text, { file: what, cpuCount: CPU_COUNT });
  } catch (error) {
    throw new Error(
      `An example of docs/configuration.md is missing or wrong, see scripts/config_*_text.ts:\n${
        (error as Error).message
      }`,
    );
  }
}

/** Puts each key's example into a whole file, with what else must be there, and parses that. */
function checkKeyExamples(): void {
  for (const path of Object.keys(KEY_EXAMPLES)) {
    if (!shown.has(path)) throw new Error(`KEY_EXAMPLES has an example for "${path}", which is no key`);
  }
  for (const [path, example] of shown) parse(fileWith(path, example), path);
}

function fileWith(path: string, value: string): string {
  const at = path.lastIndexOf(".");
  const parent = path.slice(0, Math.max(at, 0));
  const key = path.slice(at + 1);
  const companions = COMPANIONS[path] ?? [];
  const isGiven = (name: string): boolean => name === key || companions.some((text) => text.startsWith(`${name}:`));
  const fields = (required.get(parent) ?? []).filter((name) => !isGiven(name)).map((name) =>
    `${name}: ${requiredValue(parent, name)}`
  );
  const map = `{ ${[...fields, ...companions, `${key}: ${value}`].join(", ")} }`;
  if (parent === "") return map;
  return parent.endsWith("[]") ? fileWith(parent.slice(0, -2), `[${map}]`) : fileWith(parent, map);
}

function requiredValue(parent: string, name: string): string {
  if (parent === "" && name === "interfaces") return "[{ name: eth0 }]";
  return shown.get(parent === "" ? name : `${parent}.${name}`)!;
}

function examples(): string {
  return EXAMPLES.map(({ title, text, yaml }) => {
    parse(yaml, title);
    return `### ${title}\n\n${text}\n\n\`\`\`yaml\n${yaml.trim()}\n\`\`\``;
  }).join("\n\n");
}

/** What is really said of a file with mistakes. */
function mistakes(): string {
  try {
    parseConfig(MISTAKES, { file: "steering.yaml", cpuCount: CPU_COUNT });
  } catch (error) {
    if (error instanceof ConfigError) return `\`\`\`text\n${error.message}\n\`\`\``;
    throw error;
  }
  throw new Error("The example of mistakes has none");
}

function metrics(): string {
  const rows = Object.entries<MetricFamily>(METRICS).map(([name, { type, help, labels }]) =>
    `- **\`${name}\`** (${type}${labels.length > 0 ? `; ${labels.map(code).join(", ")}` : ""}): ${help}.`
  );
  return rows.join("\n");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

const outcomes = (where: Outcome["where"]): readonly Outcome[] => OUTCOMES.filter((outcome) => outcome.where === where);

function reasons(): string {
  return table(
    ["reason", "verdict", "meaning"],
    outcomes("xdp").map(({ reason, verdict, words }) => [code(reason), verdict, words]),
  );
}

function socketCounters(): string {
  return table(
    ["reason", "counts", "meaning"],
    SOCKET_COUNTERS.map((name) => {
      const { lost, of, words } = SOCKET_COUNTER_TABLE[name];
      return [code(name), lost ? "lost packets" : of === "queue" ? "once a queue" : "other things", words];
    }),
  );
}

/** @param ofActions Only fates that packets of one of these actions can have. */
function fates(ofActions = ACTION_KINDS): string {
  const rows = FATES.map((fate) => ({ fate, actions: ofActions.filter((kind) => fatesOf(kind).includes(fate)) }));
  return table(
    ["fate", "served", "actions", "meaning"],
    rows.filter(({ actions }) => actions.length > 0 || ofActions === ACTION_KINDS).map(({ fate, actions }) => {
      const { served, words } = FATE_TABLE[fate];
      return [code(fate), served ? "yes" : "no", actions.length > 0 ? actions.join(", ") : "any", words];
    }),
  );
}

function fatesOf(kind: ActionKind): readonly Fate[] {
  return ACTION_TABLE[kind].fates;
}

/** A page written by hand, with its table of fates made anew. */
async function withFates(file: string, actions: readonly ActionKind[]): Promise<string> {
  const text = await Deno.readTextFile(file);
  if (!FATES_TABLE.test(text)) throw new Error(`${file} has no table that begins with "| fate "`);
  return text.replace(FATES_TABLE, () => `${fates(actions)}\n`);
}

const FATES_TABLE = /^\| fate +\|.*\n(?:\|.*\n)+/m;

/** The runbook, with its table of problems made anew. */
async function withProblems(file: string): Promise<string> {
  const text = await Deno.readTextFile(file);
  if (!PROBLEMS_TABLE.test(text)) throw new Error(`${file} has no table that begins with "| kind "`);
  const rows = PROBLEM_KINDS.map((kind) => {
    const { severity, stops = "", words, remedy, alert } = entryOf(kind);
    return [code(kind), severity, stops, words, remedy, code(alert)];
  });
  const head = ["kind", "severity", "stops", "meaning", "what to do", "alert"];
  return text.replace(PROBLEMS_TABLE, () => `${table(head, rows)}\n`);
}

const PROBLEMS_TABLE = /^\| kind +\|.*\n(?:\|.*\n)+/m;

/** As `deno fmt` wants it. */
async function format(markdown: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", "--ext", "md", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(markdown));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("deno fmt refuses the document");
  return new TextDecoder().decode(stdout);
}

const allKeys = keys();
checkKeyExamples();
const pages: Readonly<Record<string, string>> = {
  "docs/configuration.md": CONFIG_PAGE.replace("{{keys}}", () => allKeys).replace("{{examples}}", examples)
    .replace("{{mistakes}}", mistakes).replace("{{handover}}", keysBy("handover")).replace(
      "{{restart}}",
      keysBy("restart"),
    ),
  "docs/metrics.md": METRICS_PAGE.replace("{{metrics}}", metrics).replace("{{reasons}}", reasons)
    .replace("{{socketCounters}}", socketCounters).replace("{{fates}}", () => fates())
    .replace("{{lost}}", LOST_COUNTERS.map(code).join(" + ")).replace(
      "{{kernelFates}}",
      KERNEL_FATES.map(code).join(", ").replace(/, (?=[^,]*$)/, " or "),
    ),
  "docs/operations.md": await withProblems("docs/operations.md"),
  "docs/forwarding.md": await withFates("docs/forwarding.md", ["forward", "answer"]),
};
for (const [file, page] of Object.entries(pages)) {
  const text = await format(page);
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(file, text);
  } else if (await Deno.readTextFile(file).catch(() => "") !== text) {
    console.error(`${file} does not match the code: run scripts/dev schema and commit the result`);
    Deno.exitCode = 1;
  }
}
