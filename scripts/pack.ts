/**
 * The self-extracting file: packaging/launcher's program, then files in zstd frames, an index and a trailer. Its head
 * comment has the format. The same input gives the same bytes.
 */
import { constants, zstdCompressSync } from "node:zlib";
import { run } from "./package_parts.ts";

export interface PackedFile {
  /** Within the cache: a name, or folder/name. */
  readonly path: string;
  readonly source: string;
  readonly mode: number;
}

/** Higher ones take a minute for a tenth less. */
const LEVEL = 9;
const CACHE = "build/packed";

export async function pack(launcher: string, files: readonly PackedFile[], out: string): Promise<void> {
  await Deno.mkdir(CACHE, { recursive: true });
  const parts = [await Deno.readFile(launcher)];
  let offset = parts[0]!.byteLength;
  const lines: string[] = [];
  const identity: string[] = [];
  for (const { path, source, mode } of files) {
    const bytes = await Deno.readFile(source);
    const sha256 = await digest(bytes);
    const packed = await compressed(bytes, sha256);
    lines.push([mode.toString(8), offset, packed.byteLength, bytes.byteLength, await xxh64(source), path].join(" "));
    identity.push(`${mode} ${sha256} ${path}\n`);
    parts.push(packed);
    offset += packed.byteLength;
  }
  const id = await digest(new TextEncoder().encode(identity.join("")));
  const index = new TextEncoder().encode(`${[id, ...lines].join("\n")}\n`);
  await Deno.writeFile(`${CACHE}/index`, index);
  const hex = (value: number): string => value.toString(16).padStart(16, "0");
  const trailer = `${hex(offset)}${hex(index.byteLength)}${await xxh64(`${CACHE}/index`)}XDPSTEER`;

  // Under another name first: a program that runs may not be written to.
  const whole = new Blob([...parts, index, trailer]);
  await Deno.writeFile(`${out}.new`, whole.stream());
  await Deno.rename(`${out}.new`, out);
}

/** Compressing the runtime takes seconds, and it seldom changes. */
async function compressed(bytes: Uint8Array, sha256: string): Promise<Uint8Array<ArrayBuffer>> {
  const file = `${CACHE}/${sha256}.${LEVEL}.zst`;
  try {
    return await Deno.readFile(file);
  } catch {
    const packed = Uint8Array.from(zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } }));
    await Deno.writeFile(file, packed);
    return packed;
  }
}

async function digest(bytes: Uint8Array): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource)).toHex();
}

/** What the launcher checks at every start: as fast as memory. */
async function xxh64(file: string): Promise<string> {
  return (await run("xxhsum", ["-H64", file])).split(" ")[0]!;
}
