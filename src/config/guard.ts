/**
 * Who may send: `guard:`, `lists:` and a rule's `sources:`.
 *
 * @module
 */
import * as z from "zod";
import type { SourceList, Sources } from "../steering/guard.ts";
import { WIDEST_IPV4, WIDEST_IPV6 } from "../steering/wide_prefix.ts";
import { hasControls } from "../text.ts";
import { addressFault, readAddress } from "./addresses.ts";
import { choice, map, orNull, section, whole, written, yesOrNo } from "./shapes.ts";
import { complainAboutKind, complainAboutNumber, complainAboutText } from "./wording.ts";

/** Most lists of one configuration. */
const MAX_LISTS = 64;

const LIST_NAME = "1 to 64 characters of A-Z a-z 0-9 _ . -, the first a letter";
const NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;
const ENTRY = 'a prefix like "192.0.2.0/24", an address, or the name of a list';

const aboutName = complainAboutText("list name", LIST_NAME, "is not valid");
const aboutEntry = complainAboutText("entry", ENTRY, (text) => addressFault(text) || "is not known");

/** An entry as the program has it: a prefix in its shortest spelling, or a name; undefined for what is neither. */
export function readEntry(entry: unknown): string | undefined {
  if (typeof entry !== "string") return undefined;
  return NAME.test(entry) ? entry : readAddress(entry);
}

const entryText = z.string({ error: aboutEntry })
  .refine((text) => readEntry(text) !== undefined, { error: aboutEntry });
const entry = written<typeof entryText, string>(entryText, (text) => readEntry(text)!, (text) => text);

function entries(key: string): z.ZodDefault<z.ZodArray<typeof entry>> {
  return z.array(entry, { error: complainAboutKind(key, `a list, each item ${ENTRY}`) }).default([]);
}

const WHO = "prefixes, addresses and names of lists";

function sources(noun: string): z.ZodType<Sources> {
  return map(noun, {
    allow: entries("allow").describe(`Sources that are let in: ${WHO}. With any, all others are kept out.`)
      .meta({ examples: [["192.0.2.0/24", "customers"]] }),
    deny: entries("deny").describe(`Sources whose packets are dropped: ${WHO}.`)
      .meta({ examples: [["203.0.113.0/24", "blocklist"]] }),
  });
}

/** Schema of the value of `sources:` in a rule. */
export const sourcesSchema = sources("sources").optional().describe(
  "Who may send to this rule, besides what guard says. Of the prefixes that have an address, the longest decides.",
);

/** Schema of the section `guard:`. */
export const guardSection: z.ZodType<Sources> = section(sources("guard"), {})
  .describe("Who may send to any rule. Of the prefixes that have an address, the longest decides.") as never;

const PATH = "an absolute path";
const aboutPath = complainAboutText("file", PATH, (path) => {
  if (hasControls(path)) return "has control characters in it";
  return path.startsWith("/") ? "is too long" : "is not absolute";
});
const ADDRESS = "an address that begins with https:// or http://";
const aboutUrl = complainAboutText("url", ADDRESS, "cannot be read");

function isWebAddress(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "https:" || url.protocol === "http:") && url.hostname !== "";
}

const list = map("list", {
  name: z.string({ error: aboutName }).regex(NAME, { error: aboutName })
    .describe(`Unique name of the list, by which guards and other lists have it: ${LIST_NAME}.`),
  entries: entries("entries").describe(`What is in the list: ${WHO}.`).meta({ examples: [["198.51.100.0/24"]] }),
  file: orNull(
    z.string({ error: aboutPath }).regex(/^\//, { error: aboutPath })
      .refine((path) => !hasControls(path) && path.length <= 4096, { error: aboutPath }),
  ).describe(
    "A file with more: an address or prefix a line, comments begin with # or ;. It is followed: a save, a rename or " +
      "a changed link counts at once. At most 64 MiB.",
  ),
  url: orNull(z.string({ error: aboutUrl }).refine(isWebAddress, { error: aboutUrl }).max(2048, { error: aboutUrl }))
    .describe(
      "A page with more, written like a file, of at most 64 MiB. The last good copy is kept for the next start.",
    ),
  interval: whole(complainAboutNumber("interval", "1 to 604800 seconds"), 1, 604_800).default(3600)
    .describe("Seconds from one look at url to the next, 1 to 604800; after a failure at most 60. Default 3600."),
  on_bad_line: choice("on_bad_line", ["skip", "refuse"]).default("skip").describe(
    "What happens to a file or page with a line that is no prefix. skip: the line is left out; refuse: what was read " +
      "before stays in force.",
  ),
  wide_prefixes: yesOrNo("wide_prefixes").default(false).describe(
    `Whether file and url may have prefixes wider than /${WIDEST_IPV4} (IPv4) or /${WIDEST_IPV6} (IPv6). By default ` +
      "such a line counts as one that is no prefix, since it would keep out, or let in, a large part of the internet.",
  ),
});

/** Schema of the section `lists:`. */
export const listsSection = section(
  z.array(list as unknown as z.ZodType<SourceList>, { error: complainAboutKind("lists", "a list of lists") })
    .max(MAX_LISTS, { error: `lists has too many: expected at most ${MAX_LISTS}` }),
  [],
).describe("Sets of addresses with a name, for guard and sources.");
