/** The documents that go into the Debian package, with links that work there. */
import { dirname, join, normalize, relative } from "node:path";

const ROOT = join(import.meta.dirname!, "..");
const FOLDERS = ["docs", "config"];
/** Where folders of the source tree are in the package; the first that fits. Debian wants no examples in examples. */
const PLACES: readonly (readonly [folder: string, place: string])[] = [
  ["config/examples", "examples/readers"],
  ["config", "examples"],
  ["docs", "docs"],
];
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
  for (const folder of FOLDERS) {
    for await (const file of files(folder)) places.set(file, placeOf(file)!);
  }
  const documents: PackagedDocument[] = [];
  for (const [source, path] of places) {
    if (Object.hasOwn(ELSEWHERE, source)) continue;
    documents.push({ path, data: await contents(source, path, places) });
  }
  return documents.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** Where a file or folder is in the package; undefined where it is in none of its folders. */
function placeOf(path: string): string | undefined {
  const found = PLACES.find(([folder]) => path === folder || path.startsWith(`${folder}/`));
  return found && `${found[1]}${path.slice(found[0].length)}`;
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
    const slash = target.endsWith("/") ? "/" : "";
    const place = slash ? placeOf(wanted) : places.get(wanted);
    if (place === undefined) return image === "!" ? all : words;
    return `${image}[${words}](${relative(dirname(path), place)}${slash}${anchor})`;
  });
}

async function* files(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
    if (isDirectory) yield* files(`${folder}/${name}`);
    else yield `${folder}/${name}`;
  }
}
