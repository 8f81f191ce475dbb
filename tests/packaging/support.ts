/** What the packaging tests share. */
import { join } from "node:path";

export const ROOT = join(import.meta.dirname!, "../..");

/** The file to pack: what XDPSTEER_BINARY names, or the one that was built. */
export function binary(): string {
  return Deno.env.get("XDPSTEER_BINARY") ?? join(ROOT, "dist/xdpsteer");
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, in the project's folder. */
export function run(program: string, ...args: readonly string[]): Promise<Result> {
  return runWith({}, program, ...args);
}

/** The same, with more variables in its environment. */
export async function runWith(
  env: Readonly<Record<string, string>>,
  program: string,
  ...args: readonly string[]
): Promise<Result> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: ROOT,
    env: { LC_ALL: "C", NO_COLOR: "1", DEBIAN_FRONTEND: "noninteractive", ...env },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Runs a program that has to succeed, and returns what it printed. */
export async function succeed(program: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program, ...args);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`);
  return stdout;
}

export async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

/** A folder that goes away with the scope. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir({ prefix: "xdpsteer-packaging-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
