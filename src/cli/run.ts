/**
 * `xdpsteer run`: the appliance, from its configuration to its last packet.
 *
 * @module
 */
import { readObjectFile } from "../bpf/program.ts";
import { loadConfig } from "../config/load.ts";
import { KeptFile, stateDirectory } from "../config/kept_file.ts";
import { LastGood } from "../config/last_good.ts";
import { ConfigMemo } from "../config/memo.ts";
import { cpuObstacle } from "../config/machine_place.ts";
import type { Appliance } from "../appliance/appliance.ts";
import type { CrashKeeper } from "../appliance/crash/keeper.ts";
import { HANDOVER_VARIABLE, type Handovers } from "../appliance/handover/estate.ts";
import type { Giver } from "../appliance/handover/giver.ts";
import type { Taker } from "../appliance/handover/taker.ts";
import { Claim, claimAddresses } from "../api/claim.ts";
import type { ControlServer } from "../api/server.ts";
import { BanFile, MAX_BAN_FILE } from "../guard/ban_file.ts";
import { hideMemory, requirePrivileges } from "../host/privileges.ts";
import type { Reloader } from "../appliance/reload.ts";
import type { Asker } from "../appliance/reload_types.ts";
import { ServiceManager } from "../host/service_manager.ts";
import { SteerError } from "../errors.ts";
import { mayRunOn } from "../ffi/libc.ts";
import { currentCpus, ignoreSignals, withCpus } from "../ffi/process.ts";
import { openStandardError } from "../ffi/standard_error.ts";
import { configureLog, logger, neverWaitForReader } from "../log.ts";
import type { Observer } from "../observe/observer.ts";
import type { Problem } from "../observe/problems/kinds.ts";
import { nounFor, plural } from "../text.ts";
import { VERSION } from "../version.ts";
import { inheritedBy, keeperOf, keepOnceHealthy, startWith } from "./after_crash.ts";
import { PRIVATE_DIRECTORY, selfCommand } from "./self.ts";

export interface RunOptions {
  readonly config: string;
  readonly bpfObject?: string;
  readonly user?: string;
  /** Does not start with the last good configuration where the file is refused. */
  readonly strict?: boolean;
  readonly entry: URL;
}

/** As long as `xdpsteer upgrade` waits where nothing is said. */
const UPGRADE_MS = 5000;
/** Longer where nobody waits for it, and it is not tried again by itself: the machine may be busy. */
const SAVED_MS = 20_000;

/** Ends normally at SIGTERM or SIGINT; throws when it cannot start or a worker fails. */
export async function run(options: RunOptions): Promise<void> {
  let taker: Taker | undefined;
  try {
    if (Deno.env.get(HANDOVER_VARIABLE) !== undefined) {
      taker = await (await import("../appliance/handover/taker.ts")).Taker.fromEnvironment();
    }
    await steer(options, taker);
  } catch (error) {
    taker?.fail(error);
    throw error;
  }
}

async function steer(
  { config: file, bpfObject, user, strict = false, entry }: RunOptions,
  taker: Taker | undefined,
): Promise<void> {
  if (user !== undefined) throw noUser(user);
  ignoreSignals();
  neverWaitForReader(openStandardError);
  configureLog({ level: "info", format: "auto" });
  const log = logger("run");
  const startedMs = performance.now();
  const cpuCount = navigator.hardwareConcurrency;
  const cpus = currentCpus();
  const memo = PRIVATE_DIRECTORY === undefined ? undefined : new ConfigMemo(PRIVATE_DIRECTORY);
  const lastGood = new LastGood(stateDirectory(), file);
  const banFile = new BanFile(new KeptFile(stateDirectory(), "bans", file, MAX_BAN_FILE));
  const loaded = await taker?.configured(cpuCount) ??
    await loadConfig(file, { cpuCount, memo, lastGood: strict || taker ? undefined : lastGood });
  const { config } = loaded;
  taker?.requireFixed(config);
  configureLog(config.log);
  requirePrivileges();
  using manager = ServiceManager.fromEnvironment();
  const object = bpfObject === undefined ? undefined : readObjectFile(bpfObject);

  const stopped = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => stopped.resolve(signal));
  let reloader: Reloader | undefined;
  // A refusal is in the log and in the status; whoever only watches the file has nothing more to do about it.
  const reload = (asker: Asker): void => void reloader?.reloadFile(asker).catch(() => {});
  Deno.addSignalListener("SIGHUP", () => reload("signal")); // from the start: by default it would end the process

  let giver: Giver | undefined;
  // Refusals are in the log and in the status.
  Deno.addSignalListener("SIGUSR2", () => void giver?.handOver(UPGRADE_MS).catch(() => {}));

  requireCpus(config.workers.cpus);
  using claim = taker === undefined
    ? await claimAddresses(config.control)
    : Claim.adopt(taker.estate.lock, config.control.socket);
  const heir = await inheritedBy(manager, config);
  const appliance = await startWith({ config, object, banFile, entry, handed: taker?.handedFor(config) }, heir);
  let server: ControlServer | undefined;
  let keeper: CrashKeeper | undefined;
  const stopping = new AbortController();
  try {
    // What packets do not wait for is loaded while they are steered.
    const [
      { checkerOf },
      { Reloader },
      { History },
      { Observer },
      { carriedCounters },
      { Problems },
      { apiThread, ControlServer, removeSocket },
      { FileWatch },
      { KernelEvents },
      { removeLeftoversOf },
      { Giver },
    ] = await Promise
      .all([
        import("../appliance/checker.ts"),
        import("../appliance/reload.ts"),
        import("../observe/history.ts"),
        import("../observe/observer.ts"),
        import("../observe/metrics.ts"),
        import("../observe/problems/problems.ts"),
        import("../api/server.ts"),
        import("../host/watch.ts"),
        import("../engine/kernel_events.ts"),
        import("../config/temporary.ts"),
        import("../appliance/handover/giver.ts"),
      ]);
    const { queue, steering } = appliance;
    reloader = new Reloader({
      steering,
      queue,
      manager,
      file,
      cpuCount,
      check: checkerOf({ entry, cpuCount, signal: stopping.signal }),
      loaded,
      memo,
      lastGood,
      naming: appliance,
      handOver: (successor) => giver!.handOver(SAVED_MS, successor),
    });
    using history = new History(appliance);
    const told = { appliance, reloader, history, configFile: file, unreachable: () => server?.unreachable ?? [] };
    using problems = new Problems(told, (list) => manager.trouble(troubleIn(list)));
    await taker?.take(appliance);
    const before = heir?.handovers ?? await taker?.mayServe();
    if (before !== undefined) {
      appliance.carry(before.redirectErrors, (heir?.handed ?? taker!.estate.appliance).interfaces);
    }
    const observer = new Observer(appliance);
    const carried = (): Handovers["carried"] =>
      carriedCounters(observer.snapshot(), reloader!, problems.list(), { version: VERSION }, giver!.past);
    giver = new Giver({
      appliance,
      start: (variables) => startAnother(entry, cpus, { ...manager.variables, ...variables }),
      config: () => reloader!.config,
      obstacle: () => reloader!.file.unconfirmed === null ? "" : "A change waits for its confirmation",
      lock: () => claim.fd,
      leave: async () => {
        await keeper?.end();
        await server?.close();
        server = undefined;
      },
      comeBack: async () => {
        removeSocket(config.control.socket); // of the process that has ended
        server = await serve();
        keeper?.begin();
      },
      isMain: (pid) => manager.isMain(pid),
      carried,
    }, before);
    keeper = await keeperOf(manager, {
      appliance,
      config: () => reloader!.config,
      handovers: () => ({
        counts: giver!.counts,
        last: giver!.last,
        redirectErrors: appliance.interfaces.map((steered) => [...steered.redirectErrors()]),
      }),
      carried,
    });
    const shown: Pick<Observer, "snapshot"> = {
      snapshot: () => {
        keeper?.shown();
        return observer.snapshot();
      },
    };
    const serve = (): Promise<ControlServer> =>
      ControlServer.open({
        control: config.control,
        options: {
          appliance,
          reloader: reloader!,
          observer: shown,
          problems,
          history,
          configFile: file,
          giver,
          keeper,
        },
        start: () => apiThread(entry),
      });
    server = await serve();
    using _watch = new FileWatch(file, () => reload("watch"));
    using _events = new KernelEvents(appliance.interfaces, appliance.workers);
    removeLeftoversOf(file);
    hideMemory();
    logStart(appliance, performance.now() - startedMs);
    manager.ready(`Generation ${appliance.steering.generation} is in force`);
    manager.beatWhile(() => appliance.alive);
    await taker?.done();
    appliance.shared = false;
    keepOnceHealthy(keeper, appliance, heir);
    await warnOfHost(appliance, reloader);
    const reason = await Promise.race([stopped.promise, appliance.failure, giver.over]);
    if (typeof reason === "number") {
      claim.leave();
      manager.leave();
      appliance.shared = true;
      log.info("Process {pid} has taken over", { pid: reason });
    } else log.info("{reason}: detaching, then draining", { reason });
  } catch (error) {
    taker?.fail(error); // at once: packets wait for the process that goes on
    throw error;
  } finally {
    await keeper?.end();
    manager.stopping();
    stopping.abort();
    reloader?.[Symbol.dispose]();
    const closed = server?.close(); // beside it: nobody is to ask about what is being closed
    await giver?.stop();
    await appliance.stop();
    log.info("Stopped");
    await closed;
  }
}

/** Starts the program that is on disk by now, as this one was started. */
function startAnother(
  entry: URL,
  cpus: ReturnType<typeof currentCpus>,
  env: Record<string, string>,
): Deno.ChildProcess {
  const [command, ...words] = selfCommand(entry);
  const next = new Deno.Command(command!, {
    args: [...words, ...Deno.args],
    env,
    ...{ stdin: "inherit", stdout: "inherit", stderr: "inherit" },
  });
  return withCpus(cpus, () => next.spawn());
}

/** The one file's launcher has become the user before this program starts, and takes the option out. */
function noUser(user: string): SteerError {
  return new SteerError(`Cannot become user "${user}": only the self-extracting file can`, {
    hint: `start it as that user, with the capabilities that steering needs, by setpriv or a systemd unit`,
  });
}

/** @throws {SteerError} for a CPU that is not there, or not for this process, before anything is touched. */
function requireCpus(cpus: readonly number[]): void {
  const obstacle = cpuObstacle(cpus);
  if (obstacle !== undefined) {
    throw new SteerError(`Cannot pin a worker: ${obstacle}`, { hint: "name others in workers.cpus, or leave it out" });
  }
  const kept = cpus.find((cpu) => !mayRunOn(cpu));
  if (kept === undefined) return;
  throw new SteerError(`Cannot pin a worker: CPU ${kept} is there, but this process may not run on it`, {
    hint:
      "a cpuset keeps it off (AllowedCPUs= in a unit, --cpuset-cpus of a container): name others in workers.cpus; " +
      "grep Cpus_allowed_list /proc/self/status, started as xdpsteer is, shows which",
  });
}

/** What the service manager shows. */
function troubleIn([worst, ...others]: readonly Problem[]): string {
  if (worst === undefined) return "";
  return `${worst.message}${others.length === 0 ? "" : `; and ${plural(others.length, "other problem")}`}`;
}

/** Logs what of the machine loses packets, now and whenever rules have changed. */
async function warnOfHost({ interfaces }: Appliance, reloader: Reloader): Promise<void> {
  const { MisfitLog } = await import("../host/misfits.ts"); // not for the start
  const misfits = new MisfitLog();
  reloader.onApplied = ({ workers, ...next }) => {
    const granted = next.interfaces.map((wanted, index) => {
      const { attach } = interfaces[index]!;
      return attach === "none" ? wanted : { ...wanted, attach };
    });
    return misfits.tell({ interfaces: granted, workers, rules: next, starting: false });
  };
  reloader.onApplied(reloader.config);
}

function logStart(appliance: Appliance, elapsedMs: number): void {
  const log = logger("run");
  const { interfaces, workers, steering } = appliance;
  for (const { name, attach, queues } of interfaces) {
    const zeroCopy = queues.filter((queue) => queue.zeroCopy).length;
    const noun = nounFor(queues.length, "queue");
    log.info(`Interface {interface}: {attach} XDP, {queues} ${noun}, {zeroCopy} of them zero-copy`, {
      interface: name,
      attach,
      queues: queues.length,
      zeroCopy,
    });
  }
  const rules = steering.rules.length;
  const nouns = [nounFor(rules, "rule"), nounFor(workers.count, "worker")] as const;
  log.info(`xdpsteer {version} steers with {rules} ${nouns[0]} and {workers} ${nouns[1]} after {elapsedMs} ms`, {
    version: VERSION,
    rules,
    workers: workers.count,
    elapsedMs: Math.round(elapsedMs),
  });
}
