/**
 * How this program came here, and how it is started once more, as another process.
 *
 * @module
 */

/** As a self-extracting file (packaging/launcher), as what `deno compile` makes, or from its sources. */
export type Packaging = "self-extracting" | "deno compile" | "source";

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
  for (const name of ["LD_LIBRARY_PATH", "GLIBC_TUNABLES"]) {
    const before = Deno.env.get(`XDPSTEER_${name}`);
    if (before !== undefined) Deno.env.set(name, before);
    else Deno.env.delete(name);
    Deno.env.delete(`XDPSTEER_${name}`);
  }
  for (const name of ["XDPSTEER_SELF", "XDPSTEER_UNPACKED", "DENO_DIR", "DENO_NO_UPDATE_CHECK"]) Deno.env.delete(name);
  return { file, unpacked };
}
