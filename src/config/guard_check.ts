/**
 * Checks of who may send that no single key can make: lists that are not there, lists within themselves, and prefixes
 * that are both allowed and denied.
 *
 * @module
 */
import { isListName, listsIn } from "../steering/guard.ts";
import { MAX_POLICIES } from "../steering/source_intervals.ts";
import { readEntry } from "./guard.ts";
import { expectWord, show } from "./wording.ts";
import { listAt, type Path, type Place, valueAt, type YamlFile } from "./yaml_file.ts";

type Report = (place: Place, message: string) => void;

/** One entry somewhere in the file. */
interface Entry {
  readonly text: string;
  readonly path: Path;
}

/** The lists of the file as far as they can be read. */
class Lists {
  readonly byName = new Map<string, readonly Entry[]>();

  constructor(readonly file: YamlFile) {
    for (const [index, list] of listAt(file.value, "lists").entries()) {
      const name = valueAt(list, ["name"]);
      if (typeof name === "string" && !this.byName.has(name)) {
        this.byName.set(name, entriesAt(file, ["lists", index, "entries"]));
      }
    }
  }

  #textsIn(list: string): readonly string[] {
    return this.byName.get(list)?.map(({ text }) => text) ?? [];
  }

  /** The prefixes of entries, with those of lists that they name: where the outermost entry stands, and the list. */
  *prefixes(
    entries: readonly Entry[],
  ): Generator<{ readonly text: string; readonly by: Entry; readonly list?: string }> {
    for (const by of entries) {
      if (!isListName(by.text)) {
        yield { text: by.text, by };
        continue;
      }
      for (const list of listsIn([by.text], (name) => this.#textsIn(name))) {
        for (const text of this.#textsIn(list)) if (!isListName(text)) yield { text, by, list };
      }
    }
  }
}

export function checkGuards(file: YamlFile, report: Report): void {
  const lists = new Lists(file);
  const rules = listAt(file.value, "steering").entries().map(([index]) => ["steering", index, "sources"] as Path);
  const policies = [["guard"] as Path, ...rules].filter((path) => isMap(valueAt(file.value, path)));
  const places = [
    ...policies.flatMap((path) => [[...path, "allow"], [...path, "deny"]]),
    ...listAt(file.value, "lists").map((_, index) => ["lists", index, "entries"]),
  ];
  for (const path of places) checkNames(file, lists, path, report);
  checkLists(file, report);
  checkLoops(file, lists, report);
  const known = new Set<string>();
  for (const path of policies) {
    checkBoth(file, lists, path, report);
    known.add(JSON.stringify(valueAt(file.value, path)));
    if (known.size !== MAX_POLICIES + 1) continue;
    report(file.keyPlace(path), `different sources number ${known.size}: expected at most ${MAX_POLICIES}`);
    break;
  }
}

function checkNames(file: YamlFile, { byName }: Lists, path: Path, report: Report): void {
  for (const { text, path: place } of entriesAt(file, path)) {
    if (!isListName(text) || byName.has(text)) continue;
    const names = [...byName.keys()];
    const expected = names.length === 0 ? "expected a prefix, or a list under lists" : expectWord(text, names);
    report(file.usePlace(place), `there is no list ${show(text)}: ${expected}`);
  }
}

function checkLists(file: YamlFile, report: Report): void {
  for (const [index, list] of listAt(file.value, "lists").entries()) {
    if (!isMap(list)) continue;
    if (["entries", "file", "url"].every((key) => valueAt(list, [key]) === undefined)) {
      report(file.place(["lists", index]), "list has nothing in it: expected entries, file or url");
    }
  }
}

/** A list that is within itself: told where the first of the circle names the next. */
function checkLoops(file: YamlFile, { byName }: Lists, report: Report): void {
  const done = new Set<string>();
  const visit = (name: string, way: readonly string[]): void => {
    if (done.has(name)) return;
    for (const { text, path } of byName.get(name) ?? []) {
      if (!isListName(text)) continue;
      const from = [...way, name].indexOf(text);
      if (from < 0) visit(text, [...way, name]);
      else {
        const circle = [...[...way, name].slice(from), text].map((each) => show(each)).join(" in ");
        const words = text === name
          ? `list ${show(name)} names itself`
          : `lists name each other in a circle: ${circle}`;
        report(file.usePlace(path), `${words}: expected none of it`);
      }
    }
    done.add(name);
  };
  for (const name of byName.keys()) visit(name, []);
}

/** The same prefix allowed and denied. */
function checkBoth(file: YamlFile, lists: Lists, path: Path, report: Report): void {
  const allowed = new Map<string, Entry>();
  for (const { text, by } of lists.prefixes(entriesAt(file, [...path, "allow"]))) {
    if (!allowed.has(text)) allowed.set(text, by);
  }
  if (allowed.size === 0) return;
  for (const { text, by, list } of lists.prefixes(entriesAt(file, [...path, "deny"]))) {
    const other = allowed.get(text);
    if (other === undefined) continue;
    const { line } = file.position(file.usePlace(other.path).start);
    const here = list === undefined
      ? `${show(text)} is denied here`
      : `${show(text)} of list ${show(list)} is denied here`;
    const there = isListName(other.text)
      ? `allowed by list ${show(other.text)} on line ${line}`
      : `allowed on line ${line}`;
    report(file.usePlace(by.path), `${here} and ${there}: expected one of them`);
  }
}

/** Entries that can be read. */
function entriesAt(file: YamlFile, path: Path): readonly Entry[] {
  return listAt(file.value, ...path).flatMap((item, index): Entry[] => {
    const text = readEntry(item);
    return text === undefined ? [] : [{ text, path: [...path, index] }];
  });
}

function isMap(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
