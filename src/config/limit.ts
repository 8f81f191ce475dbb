/**
 * `limit:` of a rule: how much it takes, in total and from each source.
 *
 * @module
 */
import * as z from "zod";
import { type Limit, MAX_BURST_SECONDS, MIN_BURST_BYTES, type Rates } from "../steering/limit.ts";
import { choice, map, orNull, whole, written } from "./shapes.ts";
import { complain, complainAboutNumber } from "./wording.ts";

const DECIMAL = { k: 1e3, M: 1e6, G: 1e9 } as const;
const BINARY = { Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 } as const;
const FACTORS: Readonly<Record<string, number>> = { "": 1, ...DECIMAL, ...BINARY };
const SECONDS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 };

const PACKETS = 'packets a second like "500/s", "20k/s" or "1M/s", from 1/s to 100M/s';
const BYTES = 'bytes a second like "1MB/s" or "64KiB/s", from 1kB/s to 100GB/s';
const BURST_BYTES = 'bytes that may come at once like "256KiB" or "1MB", from 64KiB to 64GiB';
const DURATION = "seconds, or a time like 90s, 10m, 12h or 7d, from 1 second to 365 days";

/** A number with a unit behind it, `500/s` and `1MB/s`; undefined for what is none, or not within bounds. */
function readQuantity(value: number | string, pattern: RegExp, least: number, most: number): number | undefined {
  const [, digits, unit = ""] = pattern.exec(String(value)) ?? [];
  if (digits === undefined) return undefined;
  const quantity = Number(digits) * (FACTORS[unit] ?? Number.NaN);
  return quantity >= least && quantity <= most ? quantity : undefined;
}

const readPackets = (value: number | string): number | undefined => readQuantity(value, /^(\d{1,9})(k|M)?\/s$/, 1, 1e8);
const readBytes = (value: number | string): number | undefined =>
  readQuantity(value, /^(\d{1,12})(?:(k|M|G|Ki|Mi|Gi)?B)?\/s$/, 1000, 1e11);
const readBurstBytes = (value: number | string): number | undefined =>
  readQuantity(value, /^(\d{1,12})(?:(k|M|G|Ki|Mi|Gi)B)?$/, MIN_BURST_BYTES, 64 * BINARY.Gi);

/** Seconds of `10m`; undefined for what is no time, or not a possible one. */
export function readDuration(value: number | string): number | undefined {
  const [, digits, unit = ""] = /^(\d{1,8})(s|m|h|d)?$/.exec(String(value)) ?? [];
  if (digits === undefined) return undefined;
  const seconds = Number(digits) * SECONDS[unit]!;
  return seconds >= 1 && seconds <= 365 * SECONDS.d! ? seconds : undefined;
}

/** The largest unit that gives whole numbers: `10m` for 600. */
export function durationText(seconds: number): string {
  const [unit] = Object.entries(SECONDS).findLast(([, length]) => seconds % length === 0)!;
  return `${seconds / SECONDS[unit]!}${unit || "s"}`;
}

/** The shortest way to write a number with a decimal unit. */
function withUnit(quantity: number): string {
  const [unit = "", factor = 1] = Object.entries(DECIMAL).findLast(([, size]) => quantity % size === 0) ?? [];
  return `${quantity / factor}${unit}`;
}

/** A schema of texts with a unit, and of numbers where one alone says enough. */
export function quantity(
  noun: string,
  expected: string,
  { read, write, example, numbers = false }: {
    readonly read: (value: number | string) => number | undefined;
    readonly write: (value: number) => number | string;
    readonly example: string;
    readonly numbers?: boolean;
  },
): z.ZodCodec<z.ZodType<number | string>, z.ZodType<number>> {
  const error = complain(noun, expected, () => "is not possible");
  const forms: z.ZodType<number | string> = numbers ? z.union([z.int(), z.string()], { error }) : z.string({ error });
  const text = forms
    .refine((value) => read(value) !== undefined, { error }).meta({ examples: [example] });
  return written<z.ZodType<number | string>, number>(text, (value) => read(value)!, write);
}

const packets = quantity("packets", PACKETS, {
  read: readPackets,
  write: (value) => `${withUnit(value)}/s`,
  example: "500/s",
});
const aboutBurst = complainAboutNumber("burst", "1 to 1000000000 packets");
const bytes = quantity("bytes", BYTES, {
  read: readBytes,
  write: (value) => `${withUnit(value)}B/s`,
  example: "1MB/s",
});
const burstBytes = quantity("burst_bytes", BURST_BYTES, {
  read: readBurstBytes,
  write: (value) => value,
  example: "2MB",
  numbers: true,
});
const ban = quantity("ban", DURATION, { read: readDuration, write: durationText, example: "10m", numbers: true });

const RATES = "expected packets, bytes or both";

function ratesOf(noun: string): z.ZodType<Rates> {
  return map(noun, {
    packets: orNull(packets).describe(`${capital(PACKETS)}. Default: no bound.`),
    burst: orNull(whole(aboutBurst, 1, 1e9).meta({ examples: [1000] }))
      .describe("Packets that may come at once, 1 to 1000000000. Default: those of a second."),
    bytes: orNull(bytes).describe(`${capital(BYTES)}; of whole frames. Default: no bound.`),
    burst_bytes: orNull(burstBytes).describe(
      `${capital(BURST_BYTES)}. Default: those of a second, and at least 64KiB.`,
    ),
  }).superRefine((rates, context) => {
    const complain = (key: string, message: string): void =>
      context.addIssue({ code: "custom", path: [key], message, input: rates });
    if (rates.packets === null && rates.bytes === null) {
      context.addIssue({ code: "custom", path: [], message: `${noun} has neither packets nor bytes: ${RATES}` });
    }
    for (
      const [burst, rate, key, of] of [
        [rates.burst, rates.packets, "burst", "packets"],
        [rates.burstBytes, rates.bytes, "burst_bytes", "bytes"],
      ] as const
    ) {
      if (burst === null) continue;
      if (rate === null) complain(key, `${key} without ${of}: expected both, or none of them`);
      else if (burst > rate * MAX_BURST_SECONDS) {
        complain(
          key,
          `${key} ${burst} is more than comes in within an hour: expected at most ${rate * MAX_BURST_SECONDS}`,
        );
      }
    }
  });
}

function capital(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}

/** Schema of a rule's `limit:`. */
export const limitSchema: z.ZodType<Limit> = map("limit", {
  per_source: orNull(ratesOf("per_source")).describe(
    "Of each source: an address, or a network of the length that ipv4_prefix and ipv6_prefix say. Default: no bound.",
  ),
  total: orNull(ratesOf("total")).describe("Of all sources together. Default: no bound."),
  ipv4_prefix: whole(complainAboutNumber("ipv4_prefix", "8 to 32 bits"), 8, 32).default(32)
    .describe("Bits of an IPv4 address that are a source, 8 to 32. Default 32: each address."),
  ipv6_prefix: whole(complainAboutNumber("ipv6_prefix", "16 to 64 bits"), 16, 64).default(64)
    .describe("Bits of an IPv6 address that are a source, 16 to 64. Default 64: each network that a host can have."),
  ban: orNull(ban).describe(
    `Ban a source that sends more than per_source allows for so long: ${DURATION}. Default: it is not banned.`,
  ),
  mode: choice("mode", ["enforce", "observe"]).default("enforce").describe(
    "enforce: packets over the limit are dropped; observe: they are counted and let through, and nobody is banned.",
  ),
}).superRefine((limit, context) => {
  const complain = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message });
  if (limit.perSource === null && limit.total === null) {
    complain([], "limit has neither per_source nor total: expected at least one of them");
  } else if (limit.ban !== null && limit.perSource === null) {
    complain(["ban"], "ban without per_source: expected per_source, since only a source can be banned");
  }
}) as z.ZodType<Limit>;
