/**
 * Builds the lists of sources that the XDP program searches, from policies and the contents of lists.
 *
 * @module
 */
import { type AllIntervals, type SourceMaps, writeSources } from "../bpf/source_maps.ts";
import { SteerError } from "../errors.ts";
import { isListName, listsIn, type SourceList, type Sources } from "../steering/guard.ts";
import { PrefixSet, readPrefixLines } from "../steering/prefix_set.ts";
import {
  ipv4Intervals,
  ipv6Intervals,
  MAX_CLASSES,
  releaseIntervals,
  type SourcePolicy,
  TooManyClasses,
} from "../steering/source_intervals.ts";

/** What is to be built, and where. */
export interface BuildOrder {
  /** By number. */
  readonly policies: readonly Sources[];
  readonly lists: readonly SourceList[];
  /** A place that no packet reads. */
  readonly place: number;
}

/** What a list's file and page hold. */
export type ContentOf = (list: SourceList) => readonly PrefixSet[];

/**
 * Writes the lists of these policies into their place.
 *
 * @returns Bytes of kernel memory that they take.
 * @throws {SteerError} when they are too many, or the kernel refuses.
 */
export function buildSources(maps: SourceMaps, { policies, lists, place }: BuildOrder, contentOf: ContentOf): number {
  const byName = new Map(lists.map((list) => [list.name, list]));
  const sets = new Map<string, readonly PrefixSet[]>();
  const setsOf = (entries: readonly string[]): PrefixSet[] => [
    prefixesOf(entries),
    ...[...listsIn(entries, (name) => byName.get(name)?.entries ?? [])].flatMap((name) => {
      const known = sets.get(name);
      if (known !== undefined) return known;
      const list = byName.get(name)!;
      const found = [prefixesOf(list.entries), ...contentOf(list)];
      sets.set(name, found);
      return found;
    }),
  ];
  const wanted = policies.map(({ allow, deny }): SourcePolicy => ({
    allow: setsOf(allow),
    deny: setsOf(deny),
    closed: allow.length > 0,
  }));
  const intervals = intervalsOf(wanted);
  try {
    return writeSources(maps, place, intervals);
  } finally {
    for (const each of [intervals.ipv4, intervals.ipv6]) releaseIntervals(each);
  }
}

function intervalsOf(policies: readonly SourcePolicy[]): AllIntervals {
  try {
    return { ipv4: ipv4Intervals(policies), ipv6: ipv6Intervals(policies) };
  } catch (error) {
    if (!(error instanceof TooManyClasses)) throw error;
    throw new SteerError(`The lists of ${policies.length} guards overlap in more than ${MAX_CLASSES} different ways`, {
      hint: "use fewer different lists, or the same ones in several rules",
    });
  }
}

function prefixesIn(entries: readonly string[]): string[] {
  return entries.filter((entry) => !isListName(entry));
}

/** How many prefixes entries have, those of lists that they name left out. */
export function prefixCount(entries: readonly string[]): number {
  return prefixesIn(entries).length;
}

/** Those of a configuration, which has been checked. */
function prefixesOf(entries: readonly string[]): PrefixSet {
  const set = new PrefixSet();
  const text = prefixesIn(entries).join("\n");
  readPrefixLines(new TextEncoder().encode(text), set, (line) => {
    throw new TypeError(`Cannot read prefix number ${line} of ${entries.length}`);
  });
  return set;
}
