/**
 * Builds dist/xdpsteer_VERSION_ARCH.deb from dist/xdpsteer: `deno run -A scripts/build_deb.ts [BINARY]`.
 *
 * Two builds of one commit are the same to the byte: every time is that of the commit (or SOURCE_DATE_EPOCH), and
 * nothing of the building machine goes in.
 */
// deno-lint-ignore-file no-console
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { ABOUT, SUMMARY } from "../src/cli/about.ts";
import { buildProgram } from "../src/cli/commands.ts";
import { completions } from "../src/cli/completions.ts";
import { manual } from "../src/cli/manual.ts";
import { run, sourceDate } from "./package_parts.ts";
import { packagedDocuments } from "./packaged_docs.ts";

const ROOT = join(import.meta.dirname!, "..");
const DEBIAN = join(ROOT, "packaging/debian");
const DOC = "usr/share/doc/xdpsteer";
const CONFFILE = "etc/xdpsteer/steering.yaml";
const SCHEMA = "usr/share/xdpsteer/steering.schema.json";
/** Where each shell looks. */
const COMPLETIONS = {
  bash: "usr/share/bash-completion/completions/xdpsteer",
  zsh: "usr/share/zsh/vendor-completions/_xdpsteer",
  fish: "usr/share/fish/vendor_completions.d/xdpsteer.fish",
} as const;
const PROGRAM = buildProgram(new URL("../main.ts", import.meta.url));
const MAINTAINER = "xdpsteer maintainers <maintainers@xdpsteer.dev>";

/** Debian's name of a machine, by e_machine of the ELF header. */
const ARCHITECTURES: Readonly<Record<number, string>> = { 62: "amd64", 183: "arm64" };

export interface DebOptions {
  readonly binary: string;
  /** Where the package goes. */
  readonly directory: string;
  /** Instead of deno.json's: tests build a newer one to upgrade to. */
  readonly version?: string;
}

/** Builds the package and returns its path. */
export async function buildDeb(options: DebOptions): Promise<string> {
  const version = debianVersion(options.version ?? JSON.parse(await readText(join(ROOT, "deno.json"))).version);
  const unit = await readText(join(ROOT, "packaging/systemd/xdpsteer.service"));
  const architecture = await architectureOf(options.binary);
  const epoch = await sourceDate();

  const stage = await Deno.makeTempDir({ prefix: "xdpsteer-deb-" });
  try {
    const tree = join(stage, "tree");
    await stageFiles(tree, options.binary, unit, changelog(version, epoch));
    const control = controlFile({
      version,
      architecture,
      depends: await dependencies(options.binary),
      installedKibibytes: await installedSize(tree),
    });
    const checksums = await md5sums(tree);
    await put(tree, "DEBIAN/control", control);
    await put(tree, "DEBIAN/conffiles", `/${CONFFILE}\n`);
    await put(tree, "DEBIAN/md5sums", checksums);
    for (const script of ["postinst", "prerm", "postrm"]) {
      await put(tree, `DEBIAN/${script}`, await readText(join(DEBIAN, script)), 0o755);
    }
    await freeze(tree, epoch);

    await Deno.mkdir(options.directory, { recursive: true });
    const deb = join(options.directory, `xdpsteer_${version}_${architecture}.deb`);
    // Lintian wants xz. Hard work would gain little: what is big in the binary is compressed already. And one thread,
    // since with several xz cuts the stream into blocks, and other bytes come out.
    await run("dpkg-deb", ["--root-owner-group", "-Zxz", "-z0", "--threads-max=1", "--build", tree, deb], {
      SOURCE_DATE_EPOCH: String(epoch),
    });
    return deb;
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
}

/** A hyphen would begin Debian's own revision; a tilde sorts 0.2.0~rc.1 before 0.2.0. */
export function debianVersion(version: string): string {
  return version.replace("-", "~").replaceAll("-", ".");
}

async function stageFiles(tree: string, binary: string, unit: string, changes: string): Promise<void> {
  const debian = (name: string): Promise<string> => readText(join(DEBIAN, name));
  await put(tree, "usr/bin/xdpsteer", "", 0o755);
  await Deno.copyFile(binary, join(tree, "usr/bin/xdpsteer"));
  await put(tree, "lib/systemd/system/xdpsteer.service", unit);
  await put(tree, CONFFILE, await debian("steering.yaml"));
  await put(tree, SCHEMA, await readText(join(ROOT, "config/steering.schema.json")));
  await put(tree, `${DOC}/README.Debian`, await debian("README.Debian"));
  for (const { path, data } of await packagedDocuments()) await put(tree, `${DOC}/${path}`, data);
  await put(tree, `${DOC}/copyright`, await debian("copyright"));
  await put(tree, `${DOC}/changelog.gz`, gzipSync(changes, { level: 9 }));
  await put(tree, "usr/share/man/man8/xdpsteer.8.gz", gzipSync(`${manual(PROGRAM)}\n`, { level: 9 }));
  for (const shell of ["bash", "zsh", "fish"] as const) {
    await put(tree, COMPLETIONS[shell], `${completions(PROGRAM, shell)}\n`);
  }
  await put(tree, "usr/share/lintian/overrides/xdpsteer", await debian("lintian-overrides"));
}

interface Control {
  readonly version: string;
  readonly architecture: string;
  readonly depends: readonly string[];
  readonly installedKibibytes: number;
}

function controlFile({ version, architecture, depends, installedKibibytes }: Control): string {
  return `Package: xdpsteer
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${installedKibibytes}
Pre-Depends: init-system-helpers (>= 1.54~)
Depends: ${depends.join(", ")}
Section: net
Priority: optional
Description: ${SUMMARY}
${ABOUT.map(folded).join("\n .\n")}
`;
}

/** A paragraph as a control file has it: lines of at most 80 columns, each after a space. */
function folded(paragraph: string): string {
  return paragraph.replace(/(.{1,79})( |$)/g, " $1\n").trimEnd();
}

/** What the program and the parts that it unpacks need of the system, as dpkg-shlibdeps would find it. */
export async function dependencies(binary: string): Promise<string[]> {
  const dynamic = await run("readelf", ["--dynamic", binary]);
  return [
    `libc6 (>= ${await neededGlibc(binary)})`,
    ...(dynamic.includes("[libgcc_s.so.1]") ? ["libgcc-s1 (>= 4.2)"] : []),
  ];
}

/** The newest version of glibc that a symbol in the program or in one of its parts asks for. */
async function neededGlibc(binary: string): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "xdpsteer-parts-" });
  try {
    // A program that does not unpack itself is its only part.
    await run(binary, ["version"], { XDPSTEER_CACHE_DIR: `${folder}/parts` });
    const found = await run("find", [folder, "-type", "f", "(", "-name", "*.so*", "-o", "-name", "xdpsteer", ")"]);
    const parts = [binary, ...found.split("\n").filter((path) => path !== "")];
    const symbols = await run("readelf", ["--version-info", ...parts]);
    const minors = [...symbols.matchAll(/Name: GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
    return `2.${Math.max(...minors)}`;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function architectureOf(binary: string): Promise<string> {
  using file = await Deno.open(binary);
  const header = new Uint8Array(20);
  await file.read(header);
  const isElf = header[0] === 0x7f && new TextDecoder().decode(header.subarray(1, 4)) === "ELF";
  const name = isElf ? ARCHITECTURES[header[18]! | header[19]! << 8] : undefined;
  if (name === undefined) throw new Error(`${binary} is not an ELF file for x86-64 or arm64`);
  return name;
}

/** The history is in git; what Debian's tools read is that this version was made then. */
function changelog(version: string, epoch: number): string {
  const date = new Date(epoch * 1000).toUTCString().replace("GMT", "+0000");
  return `xdpsteer (${version}) unstable; urgency=medium\n\n  * Release ${version}.\n\n -- ${MAINTAINER}  ${date}\n`;
}

/** As dpkg-gencontrol counts: files in whole KiB, one for each folder. */
async function installedSize(tree: string): Promise<number> {
  let kibibytes = 0;
  for await (const { path, isFile } of walk(tree)) {
    kibibytes += isFile ? Math.ceil((await Deno.stat(path)).size / 1024) : 1;
  }
  return kibibytes;
}

async function md5sums(tree: string): Promise<string> {
  const lines: string[] = [];
  for await (const { path, isFile } of walk(tree)) {
    const name = path.slice(tree.length + 1);
    if (!isFile || name === CONFFILE) continue; // dpkg keeps a conffile's sum itself
    const sum = createHash("md5");
    using file = await Deno.open(path);
    for await (const part of file.readable) sum.update(part);
    lines.push(`${sum.digest("hex")}  ${name}\n`);
  }
  return lines.join("");
}

/** The same modes and times whatever umask and clock were. */
async function freeze(tree: string, epoch: number): Promise<void> {
  for await (const { path, isFile } of walk(tree)) {
    if (!isFile) await Deno.chmod(path, 0o755);
    await Deno.utime(path, epoch, epoch);
  }
}

/** Everything below and the folder itself, in the order of names; a folder after what is in it. */
async function* walk(folder: string): AsyncGenerator<{ path: string; isFile: boolean }> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const { name, isFile } of entries) {
    const path = join(folder, name);
    if (isFile) yield { path, isFile };
    else yield* walk(path);
  }
  yield { path: folder, isFile: false };
}

async function put(tree: string, name: string, data: string | Uint8Array, mode = 0o644): Promise<void> {
  const path = join(tree, name);
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeFile(path, typeof data === "string" ? new TextEncoder().encode(data) : data);
  await Deno.chmod(path, mode);
}

async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    throw new Error(`cannot read ${path}`, { cause });
  }
}

if (import.meta.main) {
  const binary = Deno.args[0] ?? join(ROOT, "dist/xdpsteer");
  const deb = await buildDeb({ binary, directory: join(ROOT, "dist") });
  console.log(`dist/${basename(deb)}: ${((await Deno.stat(deb)).size / 1e6).toFixed(1)} MB`);
}
