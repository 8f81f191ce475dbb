/**
 * The machine's own root with everything in it, for a package to be installed in, and gone at the end.
 *
 * @module
 */
import { type Result, ROOT, runWith } from "./support.ts";

/** Writes to these go to memory; below them all is as on the machine. /run is empty, so that no systemd is met. */
const CHANGEABLE = ["etc", "usr", "var"];

const SCRIPT = `
upper=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$upper"
for directory; do
  mkdir "$upper/$directory" "$upper/$directory.work"
  mount -t overlay -o "lowerdir=/$directory,upperdir=$upper/$directory,workdir=$upper/$directory.work" overlay "/$directory"
done
mount -t tmpfs -o mode=755 tmpfs /run
echo ready
exec sleep infinity`;

/**
 * A mount namespace in which /etc, /usr, /var and /run can be changed, and nobody else sees it. Needs root and
 * overlayfs.
 */
export class PrivateRoot implements AsyncDisposable {
  private constructor(private readonly holder: Deno.ChildProcess, private readonly upper: string) {}

  static async create(): Promise<PrivateRoot> {
    const upper = await Deno.makeTempDir({ prefix: "xdpsteer-root-" });
    const args = ["--mount", "--propagation", "slave", "sh", "-euc", SCRIPT, "sh", upper, ...CHANGEABLE];
    const holder = new Deno.Command("unshare", { args, stdin: "null", stdout: "piped", stderr: "inherit" }).spawn();
    const root = new PrivateRoot(holder, upper);
    const reader = holder.stdout.getReader();
    const { done } = await reader.read();
    await reader.cancel();
    if (!done) return root;
    await root[Symbol.asyncDispose]();
    throw new Error("The package cannot be tested apart from this machine's own files: it takes overlayfs");
  }

  /** Runs a program inside to its end, in the project's folder. */
  run(program: string, ...args: readonly string[]): Promise<Result> {
    const enter = ["--mount", `--target=${this.holder.pid}`, `--wd=${ROOT}`];
    return runWith({}, "nsenter", ...enter, program, ...args);
  }

  /** Runs a program inside that has to succeed, and returns what it printed. */
  async succeed(program: string, ...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(program, ...args);
    if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`);
    return stdout;
  }

  /** Where a file inside is found from outside. */
  path(absolute: string): string {
    return `/proc/${this.holder.pid}/root${absolute}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.holder.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.holder.status;
    await Deno.remove(this.upper);
  }
}
