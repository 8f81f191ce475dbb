/**
 * `capture:` of a rule: its packets to pcapng files.
 *
 * @module
 */
import * as z from "zod";
import type { Capture } from "../steering/rule.ts";
import { normalizePath } from "./path.ts";
import { map, orNull, whole, written } from "./shapes.ts";
import { complain, complainAboutKind, complainAboutNumber, complainAboutText, type Wording } from "./wording.ts";

/** Most rules that capture. */
export const MAX_CAPTURES = 128;

const KIB = 1024;
const UNITS = { KiB: KIB, MiB: KIB ** 2, GiB: KIB ** 3, TiB: KIB ** 4 } as const;
/** The largest packet has to fit. */
const SIZE_MIN = 128 * KIB;
const SIZE_MAX = UNITS.TiB;
const DEFAULT_SIZE = "64MiB";

const EXAMPLE = "/var/lib/xdpsteer/game.pcapng";
const FILE = 'an absolute path that ends in ".pcapng"';
const aboutFile = complainAboutText("file", FILE, "is not possible");
const path = z.string({ error: aboutFile }).regex(/^\/.*[^/]\.pcapng$/, { error: aboutFile })
  .refine((text) => !/\p{Cc}/u.test(text) && new TextEncoder().encode(text).length <= 1024, { error: aboutFile })
  .meta({ examples: [EXAMPLE] });

const SIZE = "bytes from 128KiB to 1TiB, with KiB, MiB, GiB or TiB after the number or nothing";
const aboutSize = complain("size", SIZE, () => "is not possible");
const sizeText = z.union([z.int(), z.string()], { error: aboutSize })
  .refine((value) => readSize(value) !== undefined, { error: aboutSize });
const size = written<typeof sizeText, number>(sizeText, (value) => readSize(value)!, (bytes) => bytes);

/** `64MiB` in bytes; undefined for what is no size, or not a possible one. */
function readSize(value: number | string): number | undefined {
  const [, digits, unit] = /^(\d{1,13})(KiB|MiB|GiB|TiB)?$/.exec(String(value)) ?? [];
  if (digits === undefined) return undefined;
  const bytes = Number(digits) * (unit === undefined ? 1 : UNITS[unit as keyof typeof UNITS]);
  return bytes >= SIZE_MIN && bytes <= SIZE_MAX ? bytes : undefined;
}

const rotate = map("rotate", {
  size: size.prefault(DEFAULT_SIZE).describe(`Most bytes of a file: ${SIZE}. Default ${DEFAULT_SIZE}.`),
  seconds: orNull(whole(complainAboutNumber("seconds", "1 to 604800 seconds"), 1, 604_800).meta({ examples: [3600] }))
    .describe(
      "A file that has packets is finished after so many seconds, 1 to 604800. Default: at any age.",
    ),
  keep: whole(complainAboutNumber("keep", "0 to 1000 files"), 0, 1000).default(5)
    .describe("Finished files that are kept beside the one being written, 0 to 1000. Default 5."),
});

const captureMap = map("capture", {
  file: path.describe(
    `The file being written: ${FILE}. Finished ones are numbered from the newest: game.pcapng, game.1.pcapng, game.2.pcapng.`,
  ),
  snap: whole(complainAboutNumber("snap", "14 to 65535 bytes"), 14, 65_535).default(65_535)
    .describe("Most bytes kept of each packet, 14 to 65535, which is all of it. Default 65535."),
  sample: whole(complainAboutNumber("sample", "1 to 1000000000"), 1, 1_000_000_000).default(1)
    .describe("Captures one of so many packets of each worker, the first one to begin with; 1: all. Default 1."),
  rotate: rotate.prefault({}).describe("When a file is finished, and how many finished ones are kept."),
});

const captureForms = z.union([path, captureMap], {
  error: (refusal) =>
    typeof refusal.input === "string" ? aboutFile(refusal) : complainAboutKind("capture", `${FILE}, or a map`)(refusal),
});

/** Schema of a rule's `capture:`. */
export const captureSchema: z.ZodType<Capture> = written<typeof captureForms, Capture>(
  captureForms,
  (capture) => {
    const settings = typeof capture === "string" ? captureMap.parse({ file: capture }) : capture;
    return { ...settings, file: normalizePath(settings.file) };
  },
  (capture) => capture,
).describe(
  `Copies the rule's packets to pcapng files: ${FILE}, or a map with file, snap, sample and rotate.`,
);

/** The path of a capture, in whichever form it is written; undefined where there is none. */
export function capturePath(capture: unknown): string | undefined {
  const file = typeof capture === "object" && capture !== null ? (capture as { file?: unknown }).file : capture;
  return typeof file === "string" ? file : undefined;
}

/** The same text for paths whose files, finished ones included, would get into each other's way. */
export function captureFamily(file: string): string {
  return normalizePath(file).replace(/(\.\d+)*\.pcapng$/, "");
}

/** For `action: capture`, which names a key of the rule and no action; all else is for `usual` to tell. */
export function unlessCapture(usual: Wording): Wording {
  return (refusal) => {
    const { input } = refusal;
    const word = typeof input === "object" && input !== null ? Object.keys(input)[0] : input;
    if (word !== "capture") return usual(refusal);
    const expected = 'the key "capture" beside the action, like "capture: /path/name.pcapng"';
    return `action "capture" is not an action: expected ${expected}`;
  };
}
