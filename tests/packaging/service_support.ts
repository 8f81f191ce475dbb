/** The Debian package's service under a systemd of its own: lab.py is the part that runs there. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { buildDeb } from "../../scripts/build_deb.ts";
import { binary, ROOT, run, temporaryFolder } from "./support.ts";

const HERE = join(ROOT, "tests/packaging");
const BOOT = join(HERE, "boot_systemd.sh");
/** Far more than it takes. */
const LIMIT_S = 900;

export interface LabSetup {
  /** The program beside this file. */
  readonly lab: string;
  readonly args: readonly (number | string)[];
  /** More files of /lab, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Boots, runs a lab to its end, and returns what it has seen. Its own failure is this test's. */
export async function runLab<Result>({ lab, args, files = {} }: LabSetup): Promise<Result> {
  await using folder = await temporaryFolder();
  const path = (name: string): string => join(folder.path, name);
  await Deno.mkdir(path("etc"));
  await Deno.rename(await buildDeb({ binary: binary(), directory: folder.path }), path("xdpsteer.deb"));
  for (const name of ["lab.py", lab]) await Deno.copyFile(join(HERE, name), path(name));
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(path(name), text);
  const main = `#!/bin/sh\nexec /usr/bin/python3 -B /lab/${lab} ${args.join(" ")}\n`;
  await Deno.writeTextFile(path("main"), main, { mode: 0o755 });
  const { stdout, stderr } = await run("timeout", "--kill-after=5", `${LIMIT_S}`, BOOT, folder.path);
  const read = (name: string): Promise<string> => Deno.readTextFile(path(name)).catch(() => "");
  const text = await read("result");
  assert.ok(text.startsWith("{"), [stdout, stderr, await read("output")].join("\n"));
  const result: Result & { readonly error?: string } = JSON.parse(text);
  assert.equal(result.error, undefined, JSON.stringify(result, null, 2));
  return result;
}
