/**
 * Who may send, as the configuration says it.
 *
 * @module
 */

/** Sources that are let in and kept out: prefixes in their shortest spelling, and names of lists. */
export interface Sources {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/** A set of prefixes with a name. */
export interface SourceList {
  readonly name: string;
  /** Prefixes, and names of other lists. */
  readonly entries: readonly string[];
  /** A file with more of them, a prefix a line. */
  readonly file: string | null;
  /** A page with more of them. */
  readonly url: string | null;
  /** Seconds from one look at the page to the next. */
  readonly interval: number;
  /** Whether a line that is none is left out, or the whole content is. */
  readonly onBadLine: "skip" | "refuse";
  /** Whether the file and the page may have prefixes as wide as in wide_prefix.ts. */
  readonly widePrefixes: boolean;
}

/** What guards all rules together, and the lists that guards name. */
export interface GuardSettings {
  readonly guard: Sources;
  readonly lists: readonly SourceList[];
}

const NO_SOURCES: Sources = { allow: [], deny: [] };
export const NO_GUARD: GuardSettings = { guard: NO_SOURCES, lists: [] };

/** Whether an entry is a list's name: these begin with a letter, and have no colon, which no prefix does. */
export function isListName(entry: string): boolean {
  return /^[A-Za-z][^:]*$/.test(entry);
}

/** Whether somebody is kept out. */
export function isGuarding(sources: Sources | undefined): sources is Sources {
  return sources !== undefined && (sources.allow.length > 0 || sources.deny.length > 0);
}

/**
 * The lists that entries name, and those that these name in turn; each once.
 *
 * @param entriesOf What is in a list.
 */
export function listsIn(entries: readonly string[], entriesOf: (list: string) => readonly string[]): Set<string> {
  const found = new Set<string>();
  const waiting = entries.filter(isListName);
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (found.has(name)) continue;
    found.add(name);
    waiting.push(...entriesOf(name).filter(isListName));
  }
  return found;
}
