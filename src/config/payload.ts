/**
 * `send:` and `expect:` of a health check: text, or bytes in hex or base64.
 *
 * @module
 */
import * as z from "zod";
import { type Payload, payloadBytes } from "../steering/payload.ts";
import { map } from "./shapes.ts";
import { complain, complainAboutText, type Wording } from "./wording.ts";

type Bytes = Exclude<Payload, string>;

/** Of a payload, in bytes; of a text, in characters. */
const MOST = 512;
const TEXT = `1 to ${MOST} characters`;
const MAP = "{ hex: DIGITS } or { base64: TEXT }";
const HEX = `1 to ${MOST} bytes of two hex digits each, like "ff ff ff ff 54"`;
const BASE64 = `1 to ${MOST} bytes in base64, like "/////1Q="`;

const aboutHex = complainAboutText("hex", HEX, (text) => hexFault(text) ?? "");
const aboutBase64 = complainAboutText("base64", BASE64, (text) => base64Fault(text) ?? "");

/** Schema of a payload. @param noun `send` or `expect`. */
export function payloadSchema(noun: string): z.ZodType<Payload, Payload> {
  const aboutText = complainAboutText(noun, TEXT, "is not possible");
  const text = z.string({ error: aboutText }).min(1, { error: aboutText }).max(MOST, { error: aboutText });
  const bytes = map(noun, {
    hex: z.string({ error: aboutHex }).regex(/^\s*([0-9A-Fa-f]{2}\s*)+$/, { error: aboutHex })
      .refine((digits) => hexFault(digits) === undefined, { error: aboutHex })
      .optional().describe(`Like "ff ff ff ff 54": 1 to ${MOST} bytes.`).meta({ examples: ["ff ff ff ff 54"] }),
    base64: z.string({ error: aboutBase64 }).refine((encoded) => base64Fault(encoded) === undefined, {
      error: aboutBase64,
    }).optional().describe(`Like "/////1Q=": 1 to ${MOST} bytes.`).meta({ examples: ["/////1Q="] }),
  }).superRefine((value, context) => {
    const given = Object.keys(value).length;
    if (given === 1 || context.issues.length > 0) return;
    const fault = given === 0 ? "is an empty map" : "has both hex and base64";
    context.addIssue({ code: "custom", message: `${noun} ${fault}: expected ${TEXT}, ${MAP}` });
  }).meta({ minProperties: 1, maxProperties: 1 });
  const about: Wording = (refusal) =>
    Array.isArray(refusal.input) ? complain(noun, `${TEXT}, ${MAP}`, () => "")(refusal) : aboutText(refusal);
  return z.union([text, bytes as unknown as z.ZodType<Bytes, Bytes>], { error: about });
}

/** What is wrong with hex digits, to follow them in a sentence. */
function hexFault(text: string): string | undefined {
  const digits = text.replaceAll(/\s/g, "");
  if (/^0x/i.test(digits)) return 'begins with "0x", which is no part of the bytes';
  const [wrong] = /[^0-9A-Fa-f]/.exec(digits) ?? [];
  if (wrong !== undefined) return `has ${JSON.stringify(wrong)} in it, which is no hex digit`;
  if (digits.length === 0) return "has no digits";
  if (text.trim().split(/\s+/).some((group) => group.length % 2 === 1)) return "has half a byte in it";
  return lengthFault({ hex: text });
}

function base64Fault(text: string): string | undefined {
  try {
    return text === "" ? "is empty" : lengthFault({ base64: text });
  } catch {
    return "is not base64";
  }
}

function lengthFault(payload: Payload): string | undefined {
  const { length } = payloadBytes(payload);
  if (length === 0) return "has no bytes";
  return length > MOST ? `is ${length} bytes long` : undefined;
}

/** What a text says that its writer does not mean, to follow it in a sentence; undefined for all else. */
export function payloadDoubt(payload: Payload, source: string): string | undefined {
  if (typeof payload !== "string") return undefined;
  if (/\\x[0-9A-Fa-f]{2}/.test(payload)) {
    return "has a backslash in it that is sent as such, since only a text in double quotes has escapes";
  }
  const [escape] = /\\(x|u00|U000000)[89A-Fa-f][0-9A-Fa-f]/.exec(source) ?? [];
  const [character] = /[\x80-\xff]/.exec(payload) ?? [];
  if (escape === undefined || character === undefined) return undefined;
  const bytes = new TextEncoder().encode(character).toHex().replace(/(..)(..)/, "$1 $2");
  return `is text: ${escape} is sent as the bytes ${bytes} (UTF-8)`;
}
