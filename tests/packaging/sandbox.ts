/**
 * A machine for the commands in documents: this one's files with a layer above that is thrown away, and a network of
 * its own with an interface eth0 of two queues. xdpsteer is installed as the documents say, and running. Needs root.
 */
import { ROOT } from "./support.ts";

/** How long a command may take that ends by itself, and xdpsteer to start. */
const PATIENCE_MS = 60_000;
const STEP_MS = 50;

const SETUP = `
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for directory in proc dev; do mount --rbind "/$directory" "$1/root/$directory"; done
mount -t sysfs sysfs "$1/root/sys" # of this network
rm -rf "$1/root/run" "$1/root/etc/xdpsteer" "$1/root/var/cache/xdpsteer"
mkdir -p "$1/root/run" "$1/root/etc/xdpsteer"
cp "$2" "$1/root/usr/bin/xdpsteer"
# Another machine is this one.
printf '#!/bin/sh\\nexec cp "$1" "\${2#box:}"\\n' >"$1/root/usr/local/bin/scp"
printf '#!/bin/sh\\nshift\\nexec sh -c "$*"\\n' >"$1/root/usr/local/bin/ssh"
chmod 755 "$1/root/usr/local/bin/scp" "$1/root/usr/local/bin/ssh"
ip link set lo up
ip link add eth0 numrxqueues 2 numtxqueues 2 type veth peer name peer0 numrxqueues 2 numtxqueues 2
ip link set eth0 up
ip link set peer0 up
ip address add 10.0.0.1/24 dev eth0
# Until standard input ends, and all of the above with it.
exec chroot "$1/root" sh -c 'echo ready; exec cat'
`;

export interface Ended {
  readonly code: number;
  readonly output: string;
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Sandbox implements AsyncDisposable {
  readonly #holder: Deno.ChildProcess;
  readonly #folder: string;
  #box: { readonly child: Deno.ChildProcess; readonly log: Promise<string>; ended: boolean } | undefined;

  private constructor(holder: Deno.ChildProcess, folder: string) {
    this.#holder = holder;
    this.#folder = folder;
  }

  /** @param binary Becomes /usr/bin/xdpsteer. @param config Becomes /etc/xdpsteer/steering.yaml. */
  static async create(binary: string, config: string): Promise<Sandbox> {
    const folder = await Deno.makeTempDir({ prefix: "xdpsteer-sandbox-" });
    const holder = new Deno.Command("unshare", {
      args: ["--mount", "--net", "--propagation", "private", "sh", "-c", SETUP, "sh", folder, binary],
      ...{ stdin: "piped", stdout: "piped", stderr: "inherit" },
    }).spawn();
    const sandbox = new Sandbox(holder, folder);
    try {
      const reader = holder.stdout.getReader();
      const { value } = await reader.read();
      reader.releaseLock();
      if (value === undefined || text(value) !== "ready\n") {
        throw new Error("There is no sandbox: unshare(1), an overlay or a veth was refused");
      }
      await sandbox.write("/etc/xdpsteer/steering.yaml", config);
      return sandbox;
    } catch (error) {
      await sandbox[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Writes a file within. */
  async write(path: string, contents: string): Promise<void> {
    const child = this.#spawn(`cat >'${path}'`, "piped");
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(contents));
    await writer.close();
    const { success, stderr } = await child.output();
    if (!success) throw new Error(text(stderr));
  }

  /** Runs a command line in the project's folder, with a running xdpsteer beside it. */
  async run(line: string): Promise<Ended> {
    await this.#ensureRunning();
    const child = this.#spawn(line);
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    const { code, stdout, stderr } = await child.output();
    clearTimeout(timer);
    if (line.includes("--stop")) await this.#box!.child.status; // it has detached, and may still be draining its rings
    return { code, output: text(stdout) + text(stderr) };
  }

  /** Starts a command that does not end by itself, and ends it when it has printed something. @returns that. */
  async glimpse(line: string): Promise<string> {
    await this.#ensureRunning();
    const child = this.#spawn(`exec ${line}`);
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    let shown = "";
    for await (const part of child.stdout) {
      shown += text(part);
      child.kill("SIGTERM");
    }
    clearTimeout(timer);
    const rest = await child.output().catch(() => undefined);
    return shown + (rest === undefined ? "" : text(rest.stderr));
  }

  /** Starts xdpsteer by this command line instead of the one that runs, and waits until it answers. */
  async start(line: string): Promise<void> {
    await this.#stop();
    const child = this.#spawn(`exec ${line}`);
    const box = { child, log: new Response(child.stderr).text(), ended: false };
    child.status.then(() => box.ended = true);
    this.#box = box;
    const deadline = performance.now() + PATIENCE_MS;
    while (!(await this.#spawn("xdpsteer status").output()).success) {
      if (box.ended || performance.now() > deadline) {
        throw new Error(`"${line}" does not start:\n${box.ended ? await box.log : ""}`);
      }
      await sleep(STEP_MS);
    }
  }

  async #ensureRunning(): Promise<void> {
    if (this.#box === undefined || this.#box.ended) {
      await this.start("xdpsteer run --config /etc/xdpsteer/steering.yaml");
    }
  }

  async #stop(): Promise<void> {
    if (this.#box === undefined) return;
    // Another process has taken over, or there is none.
    if (this.#box.ended) await this.#spawn("xdpsteer detach --interface eth0 --stop").output();
    else this.#box.child.kill("SIGTERM");
    await this.#box.child.status;
    await this.#box.log;
    await this.#box.child.stdout.cancel();
    this.#box = undefined;
  }

  #spawn(line: string, stdin: "piped" | "null" = "null"): Deno.ChildProcess {
    const enter = ["--target", `${this.#holder.pid}`, "--mount", "--net", "--root"];
    return new Deno.Command("nsenter", {
      args: [...enter, "env", "--chdir", ROOT, "sh", "-c", line],
      env: { LC_ALL: "C", NO_COLOR: "1", HOME: "/root", TERM: "dumb" },
      ...{ stdin, stdout: "piped", stderr: "piped" },
    }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    await this.#holder.stdin.close().catch(() => {});
    await this.#holder.stdout.cancel();
    await this.#holder.status;
    await Deno.remove(this.#folder);
  }
}
