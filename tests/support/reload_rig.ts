/**
 * A Reloader with a file of its own, on the steering without a kernel.
 *
 * @module
 */
import { loadConfig } from "../../src/config/load.ts";
import { checkConfig } from "../../src/config/check_thread.ts";
import { Reloader } from "../../src/appliance/reload.ts";
import { FakePortTable } from "./fake_engine.ts";
import { SteeringRig } from "./steering_rig.ts";

const CPUS = 2;
/** What a file that has been saved takes to count. */
export const SETTLED_MS = 200;
export const text = (...rules: readonly string[]): string =>
  ["version: 1", "interfaces: [{ name: eth0 }]", "workers: { count: 2 }", `steering: [${rules.join(", ")}]`, ""].join(
    "\n",
  );
export const GAME = "{ name: game, ports: 7777 }";
export const CHAT = "{ name: chat, ports: 9090 }";

/** A file in force, and whoever reloads it. */
export class Rig implements AsyncDisposable {
  readonly manager: string[] = [];

  private constructor(
    readonly directory: string,
    readonly steering: SteeringRig<FakePortTable>,
    readonly file: string,
  ) {}

  reloader!: Reloader;
  /** What the file is taken to say, whatever is in it. */
  says: string | undefined;
  /** Has checks take for ever. */
  slow = false;

  static async create(): Promise<Rig> {
    const directory = await Deno.makeTempDir();
    const rig = new Rig(directory, new SteeringRig(new FakePortTable()), `${directory}/steering.yaml`);
    await rig.write(text(GAME));
    const loaded = await loadConfig(rig.file, { cpuCount: CPUS });
    const { queue, steering, timers } = rig.steering;
    await queue.run(() => steering.apply(loaded.config.steering));
    rig.reloader = new Reloader({
      steering,
      queue,
      manager: { reloading: () => rig.manager.push("reloading"), ready: (status) => rig.manager.push(status) },
      file: rig.file,
      cpuCount: CPUS,
      check: (content, file, signal) => {
        if (rig.slow) return new Promise((_, reject) => signal!.onabort = () => reject(signal!.reason));
        return checkConfig(rig.says === undefined ? content : new TextEncoder().encode(rig.says), {
          file,
          cpuCount: CPUS,
        });
      },
      loaded,
      timers,
    });
    return rig;
  }

  write(content: string): Promise<void> {
    return Deno.writeTextFile(this.file, content);
  }

  /** What the watch does: it looks at the file, and nobody hears of a refusal but the log and the status. */
  async look(passMs = SETTLED_MS): Promise<unknown> {
    const outcome = this.reloader.reloadFile("watch").catch((error: Error) => error.message);
    await this.steering.timers.pass(passMs);
    return await outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.steering[Symbol.asyncDispose]();
    await Deno.remove(this.directory, { recursive: true });
  }
}
