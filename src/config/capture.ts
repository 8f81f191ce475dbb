/**
 * `capture:` of a rule: its packets to pcapng files.
 *
 * @module
 */
import * as z from "zod";
import type { Capture } from "../steering/rule.ts";
import { hasControls } from "../text.ts";
import { normalizePath } from "./path.ts";
import { map, orNull, whole, written } from "./shapes.ts";
import { complain, complainAboutKind, complainAboutNumber, complainAboutText, type Wording } from "./wording.ts";

/** Most rules that capture. */
export const MAX_CAPTURES = 128;

const KIB = 1024;
const UNITS = { KiB: KIB, MiB: KIB ** 2, GiB: KIB ** 3, TiB: KIB ** 4 } as const;
const MAX_PATH_BYTES = 1024;
/** The largest packet has to fit. */
const SIZE_MIN = 128 * KIB;
const SIZE_MAX = UNITS.TiB;
const DEFAULT_SIZE = "64MiB";

/** Where captures are where nothing else is said: the unit's state directory. */
export const DEFAULT_CAPTURE_DIRECTORY = "/var/lib/xdpsteer";
const EXAMPLE = `${DEFAULT_CAPTURE_DIRECTORY}/game.pcapng`;
const DIRECTORY = "an absolute path of at most 1000 bytes";
const MAX_DIRECTORY_BYTES = 1000;
const aboutDirectory = complainAboutText("directory", DIRECTORY, (text) => {
  if (hasControls(text)) return "has control characters in it";
  return text.startsWith("/") ? "is too long" : "is not absolute";
});
const directoryPath = z.string({ error: aboutDirectory }).regex(/^\//, { error: aboutDirectory })
  .refine((text) => !hasControls(text) && new TextEncoder().encode(text).length <= MAX_DIRECTORY_BYTES, {
    error: aboutDirectory,
  });

/** Schema of the section `capture:`. */
export const captureSection = map("capture", {
  directory: written<typeof directoryPath, string>(directoryPath, directoryOf, (path) => path)
    .prefault(DEFAULT_CAPTURE_DIRECTORY).describe(
      `Directory that all captures are in, or in directories below it: ${DIRECTORY}. No link may lead out of it. ` +
        `Default ${DEFAULT_CAPTURE_DIRECTORY}.`,
    ),
});

/** One spelling for each, without a slash at the end but for the root. */
function directoryOf(path: string): string {
  return normalizePath(path).replace(/(.)\/$/, "$1");
}

/** Whether a capture file is in this directory or below it. Links are not looked at here. */
export function isInDirectory(file: string, directory: string): boolean {
  return normalizePath(file).startsWith(`${directoryOf(directory)}/`.replace("//", "/"));
}
const FILE = 'an absolute path that ends in ".pcapng"';
const aboutFile = complainAboutText("file", FILE, (text) => {
  if (hasControls(text)) return "has control characters in it";
  if (new TextEncoder().encode(text).length > MAX_PATH_BYTES) return `is longer than ${MAX_PATH_BYTES} bytes`;
  if (!text.startsWith("/")) return "is not absolute";
  return text.endsWith(".pcapng") ? "has no name before its ending" : "has another ending";
});
const path = z.string({ error: aboutFile }).regex(/^\/.*[^/]\.pcapng$/, { error: aboutFile })
  .refine((text) => !hasControls(text) && new TextEncoder().encode(text).length <= MAX_PATH_BYTES, { error: aboutFile })
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
  size: size.prefault(DEFAULT_SIZE).describe(`Maximum size of a file: ${SIZE}. Default ${DEFAULT_SIZE}.`),
  seconds: orNull(whole(complainAboutNumber("seconds", "1 to 604800 seconds"), 1, 604_800).meta({ examples: [3600] }))
    .describe(
      "Maximum age in seconds of a file that has packets, 1 to 604800. Default: no limit.",
    ),
  keep: whole(complainAboutNumber("keep", "0 to 1000 files"), 0, 1000).default(5)
    .describe("Number of finished files to keep, 0 to 1000. Default 5."),
});

const captureMap = map("capture", {
  file: path.describe(
    `The file being written: ${FILE}. Finished files are numbered, newest first: game.1.pcapng, game.2.pcapng.`,
  ),
  snap: whole(complainAboutNumber("snap", "14 to 65535 bytes"), 14, 65_535).default(65_535)
    .describe("Number of bytes to keep of each packet, 14 to 65535; 65535 keeps all. Default 65535."),
  sample: whole(complainAboutNumber("sample", "1 to 1000000000"), 1, 1_000_000_000).default(1)
    .describe("Capture one in this many packets of each worker, beginning with the first; 1 captures all. Default 1."),
  rotate: rotate.prefault({}).describe("When a file is finished, and how many finished files are kept."),
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
  `Copy the rule's packets to pcapng files: ${FILE}, or a map with file, snap, sample and rotate.`,
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
