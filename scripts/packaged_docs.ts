/** The documents that go into the Debian package, with links that work there. */
import { dirname, join, normalize, relative } from "node:path";

const ROOT = join(import.meta.dirname!, "..");
/** Folders of the source tree, by their names within the package's documentation. */
const FOLDERS: Readonly<Record<string, string>> = { docs: "docs", config: "examples" };
/** Debian wants no folder of examples in one. */
const NESTED = /^config\/examples\b/;
/**
 * What the package has under another name. Debian wants licences in one file, and examples in a folder of that name.
 */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "LICENSE": "copyright",
  "bpf/LICENSE": "copyright",
  "CHANGELOG.md": "changelog.gz",
};
/** The schema's own place, beside none of the files that name it. */
const SCHEMA = "/usr/share/xdpsteer/steering.schema.json";

export interface PackagedDocument {
  /** Below the package's documentation. */
  readonly path: string;
  readonly data: string | Uint8Array;
}

/** README.md, docs/ and config/. A link to a file that the package does not have becomes plain text. */
export async function packagedDocuments(): Promise<PackagedDocument[]> {
  const places = new Map<string, string>([["README.md", "README.md"], ...Object.entries(ELSEWHERE)]);
  for (const [folder, place] of Object.entries(FOLDERS)) {
    for await (const file of files(folder)) places.set(file, inPackage(file, folder, place));
  }
  const documents: PackagedDocument[] = [];
  for (const [source, path] of places) {
    if (Object.hasOwn(ELSEWHERE, source)) continue;
    documents.push({ path, data: await contents(source, path, places) });
  }
  return documents.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** A file or folder of `folder`, which is called `place` in the package. */
function inPackage(path: string, folder: string, place: string): string {
  return `${place}${path.replace(NESTED, `${folder}/readers`).slice(folder.length)}`;
}

async function contents(
  source: string,
  path: string,
  places: ReadonlyMap<string, string>,
): Promise<string | Uint8Array> {
  const file = join(ROOT, source);
  if (source.endsWith(".md")) return relink(await Deno.readTextFile(file), source, path, places);
  if (/steering\..*\.yaml$/.test(source)) {
    return (await Deno.readTextFile(file)).replace("$schema=./steering.schema.json", `$schema=${SCHEMA}`);
  }
  return await Deno.readFile(file);
}

/** The text with each relative link as it is between the places of the two files. */
function relink(text: string, source: string, path: string, places: ReadonlyMap<string, string>): string {
  return text.replace(/(!?)\[([^\]]*)\]\(([^)\s:#]+)(#[^)\s]*)?\)/g, (all, image, words, target, anchor = "") => {
    const wanted = normalize(join(dirname(source), target)).replace(/\/$/, "");
    const [top] = wanted.split("/") as [string];
    const folder = Object.hasOwn(FOLDERS, top) && target.endsWith("/");
    const place = folder ? inPackage(wanted, top, FOLDERS[top]!) : places.get(wanted);
    if (place === undefined) return image === "!" ? all : words;
    return `${image}[${words}](${relative(dirname(path), place)}${folder ? "/" : ""}${anchor})`;
  });
}

async function* files(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
    if (isDirectory) yield* files(`${folder}/${name}`);
    else yield `${folder}/${name}`;
  }
}
