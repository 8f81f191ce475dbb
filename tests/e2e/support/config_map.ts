/**
 * A directory as Kubernetes mounts a ConfigMap: `steering.yaml -> ..data/steering.yaml`, `..data -> ..<version>`, and
 * an update that puts a new directory in place by renaming a symbolic link.
 *
 * @module
 */
import { TempDir } from "./command.ts";

export class ConfigMap implements AsyncDisposable {
  #version = 0;

  private constructor(private readonly directory: TempDir, private readonly file: string) {}

  /** @param text Contents of the file, by where the control socket will be. */
  static async create(file: string, text: (socket: string) => string): Promise<ConfigMap> {
    const map = new ConfigMap(await TempDir.create(), file);
    try {
      await map.update(text(`${map.path}/control.sock`));
      await Deno.symlink(`..data/${file}`, `${map.path}/${file}`);
      return map;
    } catch (error) {
      await map[Symbol.asyncDispose]();
      throw error;
    }
  }

  get path(): string {
    return this.directory.path;
  }

  /** Puts new contents in place, and removes the old version's directory afterwards, as the kubelet does. */
  async update(text: string): Promise<void> {
    const old = `${this.path}/..version_${this.#version}`;
    const next = `..version_${++this.#version}`;
    await Deno.mkdir(`${this.path}/${next}`);
    await Deno.writeTextFile(`${this.path}/${next}/${this.file}`, text);
    await Deno.symlink(next, `${this.path}/..data_tmp`);
    await Deno.rename(`${this.path}/..data_tmp`, `${this.path}/..data`);
    if (this.#version > 1) await Deno.remove(old, { recursive: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.directory[Symbol.asyncDispose]();
  }
}
