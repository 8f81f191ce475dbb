/**
 * How this program came here, and how it is started once more, as another process.
 *
 * @module
 */

/** As a self-extracting file (packaging/launcher), as what `deno compile` makes, or from its sources. */
export type Packaging = "self-extracting" | "deno compile" | "source";

/** What the launcher sets, and nobody else's business. */
const OF_LAUNCHER = [
  ...["XDPSTEER_SELF", "XDPSTEER_UNPACKED", "XDPSTEER_GLIBC_TUNABLES"],
  ...["LD_LIBRARY_PATH", "GLIBC_TUNABLES", "DENO_DIR", "DENO_NO_UPDATE_CHECK"],
];

/** The self-extracting file's path, if that is what was started, and where it is unpacked. */
const { file: FILE, unpacked } = takeFromLauncher();

/** A directory of this version's own that only its user can look into; undefined where there is none. */
export const PRIVATE_DIRECTORY = unpacked;

export function packaging(): Packaging {
  return FILE !== undefined ? "self-extracting" : Deno.build.standalone ? "deno compile" : "source";
}

/** The words before the arguments: the one file alone, or deno and the entry module. */
export function selfCommand(entry: URL): string[] {
  if (FILE !== undefined) return [FILE];
  return Deno.build.standalone
    ? [Deno.execPath()]
    : [Deno.execPath(), "run", "--quiet", "-A", decodeURIComponent(entry.pathname)];
}

/** The licences of everything in the file; from source our own. */
export function readLicenses(entry: URL): string {
  return Deno.readTextFileSync(new URL(packaging() === "source" ? "LICENSE" : "NOTICES.txt", entry));
}

/** What the launcher set for this process must not reach the programs that it starts. */
function takeFromLauncher(): { readonly file?: string; readonly unpacked?: string | undefined } {
  const file = Deno.env.get("XDPSTEER_SELF");
  if (file === undefined) return {};
  const unpacked = Deno.env.get("XDPSTEER_UNPACKED");
  const tunables = Deno.env.get("XDPSTEER_GLIBC_TUNABLES");
  for (const name of OF_LAUNCHER) Deno.env.delete(name);
  if (tunables !== undefined) Deno.env.set("GLIBC_TUNABLES", tunables);
  return { file, unpacked };
}
