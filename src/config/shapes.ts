/**
 * Schemas that the whole configuration language is put together from.
 *
 * @module
 */
import * as z from "zod";
import {
  complainAboutChoice,
  complainAboutKey,
  complainAboutKind,
  complainAboutNumber,
  type Wording,
} from "./wording.ts";

// Made for each map that is checked, a function pays only where thousands are.
z.config({ jitless: true });

/** Zod's schema for a map with exactly these keys, which are snake_case in YAML and camelCase in the program. */
export type StrictMap<Shape extends z.core.$ZodLooseShape> = z.ZodCodec<
  z.ZodObject<Shape, z.core.$strict>,
  z.ZodType<CamelKeys<z.output<z.ZodObject<Shape, z.core.$strict>>>>
>;
type CamelKeys<Map> = { [Key in keyof Map as Key extends string ? Camel<Key> : Key]: Map[Key] };
type Camel<Key extends string> = Key extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : Key;

export function map<Shape extends z.core.$ZodLooseShape>(
  noun: string,
  shape: Shape,
  expected?: string,
): StrictMap<Shape> {
  const keys = Object.keys(shape).map((key) => [key, camel(key)] as const);
  const object = plainMap(noun, shape, expected);
  type Yaml = z.output<typeof object>;
  type Inside = CamelKeys<Yaml>;
  // What needs no translation is left as it is: Zod has no examples of what a codec is in.
  if (keys.every(([yaml, inside]) => yaml === inside)) return object as unknown as StrictMap<Shape>;
  return written<typeof object, Inside>(
    object,
    (value) => renamed(value, keys) as Inside,
    (value) =>
      // A union tries all that it may be: what is no map is for the schema to refuse.
      (typeof value === "object" && value !== null
        ? renamed(value, keys.map(([yaml, inside]) => [inside, yaml]))
        : value) as Yaml,
  );
}

/** A map with exactly these keys, which are the same in the program. */
export function plainMap<Shape extends z.core.$ZodLooseShape>(
  noun: string,
  shape: Shape,
  expected?: string,
): z.ZodObject<Shape, z.core.$strict> {
  const known = Object.keys(shape);
  const usual = complainAboutKind(noun, expected ?? `a map with ${known.join(", ")}`);
  return z.strictObject(shape, {
    // Zod reports all unknown keys of a map as one issue; one line each, in the order of `keys`, is taken apart again.
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? issue.keys.map((key: string) => complainAboutKey(key, known)).join("\n")
        : usual(issue),
  });
}

/** `chunk_size` as the program calls it: `chunkSize`. */
function camel(key: string): string {
  return key.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function renamed(value: object, keys: readonly (readonly [from: string, to: string])[]): object {
  const source = value as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    keys.filter(([from]) => Object.hasOwn(source, from)).map(([from, to]) => [to, source[from]]),
  );
}

/** A value that is written in one way in YAML and is another in the program; both ways are given. */
export function written<Schema extends z.ZodType, Inside>(
  schema: Schema,
  read: (value: z.output<Schema>) => Inside,
  write: (value: Inside) => z.output<Schema>,
): z.ZodCodec<Schema, z.ZodType<Inside>> {
  return z.codec(schema, z.custom<Inside>(), {
    decode: (value) => read(value) as never,
    encode: (value) => write(value as Inside) as never,
  });
}

/** A key that may be left out, which is null in the program. */
export function orNull<Schema extends z.ZodType>(
  schema: Schema,
): z.ZodCodec<z.ZodOptional<Schema>, z.ZodType<z.output<Schema> | null>> {
  return written<z.ZodOptional<Schema>, z.output<Schema> | null>(
    schema.optional(),
    (value) => (value ?? null) as z.output<Schema> | null,
    (value) => (value ?? undefined) as z.output<z.ZodOptional<Schema>>,
  );
}

export function whole(error: Wording, first: number, last: number): z.ZodInt {
  return z.int({ error }).min(first, { error }).max(last, { error });
}

export function yesOrNo(noun: string): z.ZodBoolean {
  return z.boolean({ error: complainAboutKind(noun, "true or false") });
}

export function powerOfTwo(noun: string, first: number, last: number): z.ZodLiteral<number> {
  const sizes: number[] = [];
  for (let size = first; size <= last; size *= 2) sizes.push(size);
  const outside = complainAboutNumber(noun, `a power of two from ${first} to ${last}`);
  const error: Wording = (refusal) => {
    const { input } = refusal;
    if (!Number.isInteger(input) || typeof input !== "number" || input < first || input > last) return outside(refusal);
    const above = sizes.find((size) => size > input) ?? last;
    return `${noun} ${input} is not a power of two: expected ${above / 2} or ${above}`;
  };
  return z.literal(sizes, { error });
}

export function choice<const Word extends string>(
  noun: string,
  words: readonly Word[],
  later: readonly string[] = [],
): z.ZodEnum<{ [W in Word]: W }> {
  return z.enum(words, { error: complainAboutChoice(noun, words, later) });
}

/** A section that may be left out, or stand there with all its lines commented out, which YAML reads as null. */
export function section<Schema extends z.ZodType>(
  schema: Schema,
  empty: z.input<Schema>,
): z.ZodType<z.output<Schema>, z.input<Schema> | null | undefined> {
  return written(
    schema.nullish(),
    (value) => (value ?? schema.parse(empty)) as z.output<Schema>,
    (value) => value as z.output<z.ZodOptional<z.ZodNullable<Schema>>>,
  ) as unknown as z.ZodType<z.output<Schema>, z.input<Schema> | null | undefined>;
}
