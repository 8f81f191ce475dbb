/**
 * Values as YAML writes them in one line.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";

type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };

/**
 * `{ to: ["10.0.0.11:9000"], mode: dsr }`; texts in quotes where YAML would not read them as text, or somebody might
 * not.
 *
 * @param json Everything that JSON has in quotes is in quotes.
 */
export function flowText(value: Value, json = false): string {
  if (typeof value === "string") {
    return !json && /^[a-z]+$/.test(value) && !isWord(value) ? value : JSON.stringify(value);
  }
  if (typeof value !== "object" || value === null) return `${value}`;
  if (Array.isArray(value)) return `[${value.map((item) => flowText(item, json)).join(", ")}]`;
  const pairs = Object.entries(value).map(([key, item]) => `${keyText(key, json)}: ${flowText(item, json)}`);
  return `{ ${pairs.join(", ")} }`;
}

export function keyText(key: string, json: boolean): string {
  return json ? JSON.stringify(key) : key;
}

/** Whether YAML, of whatever version, has a meaning of its own for it. */
export function isWord(text: string): boolean {
  return /^(true|false|null|yes|no|on|off|y|n)$/i.test(text);
}

/** What a file would have to say for `inside`, without the keys whose defaults say the same. */
export function shortest<Schema extends z.ZodType>(schema: Schema, inside: z.output<Schema>): Value {
  const whole = JSON.parse(JSON.stringify(z.encode(schema, inside))) as Value;
  return without(whole, (value) => {
    const { success, data } = schema.safeParse(value);
    return success && isDeepStrictEqual(data, inside);
  });
}

/** Leaves out keys as long as the whole stays what it is. */
function without(value: Value, isSame: (value: Value) => boolean): Value {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  let result = value as { readonly [key: string]: Value };
  for (const key of Object.keys(result)) {
    const { [key]: inner, ...others } = result;
    if (isSame(others)) result = others;
    else result = { ...result, [key]: without(inner!, (part) => isSame({ ...result, [key]: part })) };
  }
  return result;
}
