/**
 * Runs health checks once, for whoever wants to know before they decide anything.
 *
 * @module
 */
import { messageOf } from "../../errors.ts";
import { AsyncPoll } from "../../ffi/async_poll.ts";
import type { CheckedBackend } from "./checks.ts";
import type { Outcome, Probe } from "./probe.ts";
import { openProbe } from "./probes.ts";
import { SourcePorts } from "./source_ports.ts";

export interface ProbedBackend extends Outcome {
  readonly check: CheckedBackend;
  /** Milliseconds until it ended. */
  readonly elapsedMs: number;
  /** True where this machine could not carry the check out. */
  readonly hindered: boolean;
}

/** All at once, each for its timeout at most; in the order of `checks`. */
export async function probeOnce(checks: readonly CheckedBackend[]): Promise<ProbedBackend[]> {
  using poll = new AsyncPoll();
  using probes = new DisposableStack();
  const ports = new SourcePorts();
  const done = new Map<CheckedBackend, ProbedBackend>();
  const open = new Map<CheckedBackend, { readonly probe: Probe; readonly startedMs: number }>();
  const end = (check: CheckedBackend, startedMs: number, outcome: Outcome, hindered = false): void => {
    open.delete(check);
    done.set(check, { check, ...outcome, elapsedMs: performance.now() - startedMs, hindered });
  };
  /** Whatever this machine cannot do is told as such. */
  const attempt = (check: CheckedBackend, startedMs: number, step: () => Outcome | undefined): void => {
    try {
      const outcome = step();
      if (outcome !== undefined) end(check, startedMs, outcome);
    } catch (error) {
      end(check, startedMs, { succeeded: false, reason: messageOf(error) }, true);
    }
  };
  for (const check of checks) {
    const { backend: { address, port }, check: asked } = check;
    const probe = probes.use(openProbe({ address, port: asked.port ?? port }, asked, ports));
    const startedMs = performance.now();
    open.set(check, { probe, startedMs });
    attempt(check, startedMs, () => probe.start());
  }
  while (open.size > 0) {
    const waiting = [...open];
    const leftMs = waiting.map(([{ check }, { startedMs }]) => startedMs + check.timeout * 1000 - performance.now());
    const ready = await poll.wait(waiting.map(([, { probe }]) => probe), Math.min(...leftMs));
    for (const [index, [check, { probe, startedMs }]] of waiting.entries()) {
      const isLate = performance.now() >= startedMs + check.check.timeout * 1000;
      if (!ready[index] && !isLate) continue;
      const silent = { succeeded: false, reason: `${probe.silence} in ${Math.round(check.check.timeout * 1000)} ms` };
      attempt(check, startedMs, () => probe.look() ?? (isLate ? silent : undefined));
    }
  }
  return checks.map((check) => done.get(check)!);
}
