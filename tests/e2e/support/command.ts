/**
 * How the tests run the product: from source, or as the packaged binary that XDPSTEER_COMMAND names.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { SpawnOptions, TestNetwork } from "../../support/netns.ts";

/** The project's top directory, with a slash at its end. */
export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** How long a command that does not serve may take. */
const COMMAND_MS = 60_000;

export function isFromSource(): boolean {
  return (Deno.env.get("XDPSTEER_COMMAND") ?? "") === "";
}

/** The words before the product's own arguments. */
export function productCommand(): string[] {
  const words = (Deno.env.get("XDPSTEER_COMMAND") ?? "").split(" ").filter((word) => word !== "");
  if (words.length > 0) return words;
  return [Deno.execPath(), "run", "--quiet", "-A", "--config", `${ROOT}deno.json`, `${ROOT}main.ts`];
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in the steer namespace to its end, whatever that is. */
export async function finish(
  network: TestNetwork,
  argv: readonly string[],
  options: SpawnOptions = {},
): Promise<Finished> {
  const child = network.spawn("steer", argv, options);
  const timer = setTimeout(() => child.kill("SIGKILL"), COMMAND_MS);
  const { code, signal, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const decoder = new TextDecoder();
  const finished = { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  if (signal === "SIGKILL") throw new Error(`"${argv.join(" ")}" does not end:\n${finished.stderr}`);
  return finished;
}

/** Runs a program in no namespace of a test. @returns what it printed. @throws {Error} with its complaint. */
export async function runHere(program: string, ...args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], stdin: "null" }).output();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** What was said of a program in the way, with what doctor says, if that is what it advises. */
export async function withDoctor(network: TestNetwork, stderr: string): Promise<string> {
  const [, words] = /fix: xdpsteer (doctor --interface \S+)$/m.exec(stderr) ?? [];
  if (words === undefined) return stderr;
  return stderr + (await finish(network, [...productCommand(), ...words.split(" ")])).stdout;
}

/** Makes a FIFO: whoever opens it in the ordinary way waits for the other end. */
export async function makeFifo(path: string): Promise<void> {
  await runHere("mkfifo", path);
}

/** A directory that is gone, with everything in it, when its scope ends. */
export class TempDir implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async create(): Promise<TempDir> {
    return new TempDir(await Deno.makeTempDir({ prefix: "xdpsteer-e2e-" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** A directory with room for 256 KiB: a disk of its own. */
export class SmallDisk implements AsyncDisposable {
  private constructor(readonly path: string, private readonly parts: AsyncDisposableStack) {}

  static async create(): Promise<SmallDisk> {
    await using parts = new AsyncDisposableStack();
    const { path } = parts.use(await TempDir.create());
    await runHere("mount", "-t", "tmpfs", "-o", "size=256k", "xdpsteer-test", path);
    parts.defer(async () => void await runHere("umount", "--lazy", path));
    return new SmallDisk(path, parts.move());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.parts.disposeAsync();
  }
}
