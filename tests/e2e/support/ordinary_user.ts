/**
 * Running the product as a user other than root.
 *
 * @module
 */
import assert from "node:assert/strict";
import { setting } from "../../support/systemd_unit.ts";
import type { ApplianceOptions } from "./appliance.ts";
import { isFromSource, TempDir } from "./command.ts";

/** Nobody. */
const USER = 65534;

/** Words before a command that make its process an ordinary user's, with these capabilities (`net_admin`) alone. */
export function asOrdinaryUser(capabilities: readonly string[] = []): string[] {
  const user = ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"];
  if (capabilities.length === 0) return user;
  const set = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
  return [...user, "--no-new-privs", `--inh-caps=${set}`, `--ambient-caps=${set}`, `--bounding-set=${set}`];
}

/** Gives a directory to that user. */
export async function giveToOrdinaryUser(directory: string): Promise<void> {
  await Deno.chown(directory, USER, USER);
}

/**
 * Makes a cache of Deno's with the packages of this one, that anybody can use: the one of root is not for everybody.
 */
export async function copyPackages(directory: string): Promise<void> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  const { npmCache } = JSON.parse(new TextDecoder().decode(stdout));
  const script = 'cp -r "$1" "$2/npm" && chmod -R a+rwX "$2"';
  const { success } = await new Deno.Command("sh", { args: ["-c", script, "sh", npmCache, directory] }).output();
  assert.ok(success);
}

/** Variables that let an ordinary user run the product: directories for its caches, in one that is empty yet. */
export async function ordinaryUserEnv(directory: string): Promise<Readonly<Record<string, string>>> {
  if (isFromSource()) await copyPackages(directory);
  else await Deno.chmod(directory, 0o777);
  return { DENO_DIR: directory, XDPSTEER_CACHE_DIR: `${directory}/xdpsteer` };
}

/** The user that the systemd unit runs as, with its capabilities, and directories of its own. */
export class UnitUser implements AsyncDisposable {
  private constructor(private readonly directory: TempDir, private readonly cache: TempDir) {}

  static async create(): Promise<UnitUser> {
    const user = new UnitUser(await TempDir.create(), await TempDir.create());
    await giveToOrdinaryUser(user.directory.path);
    if (isFromSource()) await copyPackages(user.cache.path);
    return user;
  }

  /** How an appliance is started as this user. */
  get options(): Required<Pick<ApplianceOptions, "as" | "env" | "directory">> {
    const capabilities = setting("CapabilityBoundingSet").split(" ");
    return {
      as: asOrdinaryUser(capabilities.map((name) => name.replace(/^CAP_/, "").toLowerCase())),
      // The product's own cache belongs to whom it runs as; Deno's, where it runs from source, need only be readable.
      env: { DENO_DIR: this.cache.path, CACHE_DIRECTORY: this.directory.path },
      directory: this.directory.path,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cache[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
  }
}
