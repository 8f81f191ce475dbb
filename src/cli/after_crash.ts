/**
 * What `xdpsteer run` does about a process before it that has crashed, and for one after it.
 *
 * @module
 */
import { Appliance, type ApplianceOptions } from "../appliance/appliance.ts";
import type { Heir } from "../appliance/crash/heir.ts";
import type { CrashKeeper, CrashKeeperOptions } from "../appliance/crash/keeper.ts";
import type { Config } from "../config/schema.ts";
import { SteerError } from "../errors.ts";
import type { ServiceManager } from "../host/service_manager.ts";

/** After which a process that has gone on after a crash is healthy, if its workers turn. */
const HEALTHY_MS = 2000;

/** What is left of a process that has crashed. */
export async function inheritedBy({ passed, store }: ServiceManager, config: Config): Promise<Heir | undefined> {
  if (passed.length === 0) return undefined;
  const { Heir } = await import("../appliance/crash/heir.ts"); // not for every start
  return await Heir.of(passed, store, config);
}

/** Starts with what is left of a process that has crashed, where there is something, and afresh where that fails. */
export async function startWith(options: ApplianceOptions, heir: Heir | undefined): Promise<Appliance> {
  if (heir?.handed !== undefined) {
    try {
      const appliance = await Appliance.start({ ...options, handed: heir.handed, inherited: true });
      heir.done();
      return appliance;
    } catch (error) {
      await heir.refuse(error);
    }
  }
  return await Appliance.start(options).catch((error) => diagnosed(error, options.config));
}

/** Keeps what there is for the time after a crash, where the service manager does. */
export async function keeperOf(
  { store }: ServiceManager,
  options: Omit<CrashKeeperOptions, "store">,
): Promise<CrashKeeper | undefined> {
  if (store === undefined) return undefined;
  const { CrashKeeper } = await import("../appliance/crash/keeper.ts"); // not for every start
  return new CrashKeeper({ ...options, store });
}

/** What was taken over from a crashed process is passed on only once it has not made this one crash. */
export function keepOnceHealthy(keeper: CrashKeeper | undefined, appliance: Appliance, heir: Heir | undefined): void {
  const names = heir?.names ?? [];
  if (heir?.handed === undefined) return keeper?.begin(names);
  const timer = setInterval(() => {
    if (appliance.stage === "stopping") return clearInterval(timer);
    if (!appliance.alive) return;
    clearInterval(timer);
    keeper?.begin(names);
  }, HEALTHY_MS);
}

/** Rethrows why there was no start, with what doctor finds about the cause. Its checks are loaded only for this. */
async function diagnosed(error: unknown, config: Config): Promise<never> {
  if (error instanceof SteerError) error.notes.push(...(await import("./doctor.ts")).diagnosis(error, config));
  throw error;
}
