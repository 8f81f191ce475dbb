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

/** Zod's schema for a map with exactly these keys. */
export type StrictMap<Shape extends z.core.$ZodLooseShape> = z.ZodObject<Shape, z.core.$strict>;

export function map<Shape extends z.core.$ZodLooseShape>(
  noun: string,
  shape: Shape,
  expected?: string,
): StrictMap<Shape> {
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

export function whole(error: Wording, first: number, last: number): z.ZodInt {
  return z.int({ error }).min(first, { error }).max(last, { error });
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
export function section<Schema extends z.ZodType>(schema: Schema, empty: z.input<Schema>): z.ZodType<z.output<Schema>> {
  return schema.nullish().transform((value) => value ?? schema.parse(empty));
}
