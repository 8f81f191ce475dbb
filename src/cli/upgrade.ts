/**
 * `xdpsteer upgrade`: the program that is on disk takes over from the running one, and no packet is lost.
 *
 * @module
 */
import type { Handover } from "../appliance/handover/estate.ts";
import { readDuration } from "../config/limit.ts";
import { EXIT, SteerError } from "../errors.ts";
import { callJson } from "./client.ts";
import { print, printJson } from "./output.ts";

/** What is read of /v1/status. */
export interface Status {
  readonly pid: number;
  readonly version: string;
  readonly handovers: { readonly last: Handover | null };
}

/** After the packets the control socket changes hands. */
const SERVING_MS = 60_000;
const AGAIN_MS = 50;

export async function upgrade(
  { socket, within, json = false }: { socket: string; within: string; json?: boolean },
): Promise<void> {
  const seconds = readDuration(within);
  if (seconds === undefined) {
    throw new SteerError(`Cannot wait for "${within}"`, {
      exitCode: EXIT.usage,
      hint: "expected seconds, or a time like 5s",
    });
  }
  const before = await running(socket);
  // The socket may change hands before the answer has come.
  const answer = await callJson<Handover>(socket, "POST", `/v1/upgrade?within=${seconds}`).catch(unlessBetween);
  const after = await served(socket, before);
  const handover = answer ?? after.handovers.last!;
  if (json) return printJson({ ...handover, from: before.version, to: after.version });
  for (const line of handoverLines(before, after, handover)) print(line);
}

/** What handed over, and to whom, in words. */
export function handoverLines(before: Status, after: Status, { gapsMs }: Handover): string[] {
  const gaps = gapsMs.map((gap, worker) => `worker ${worker}: ${gap} ms`).join(", ");
  return [
    `process ${after.pid} has taken over from process ${before.pid}: xdpsteer ${after.version}`,
    `nobody looked at the rings, which hold what comes meanwhile, for: ${gaps}`,
  ];
}

/** The process that is asked for a handover. */
export interface Running extends Status {
  /** Whether it can be seen from here, so that its end can be. */
  readonly isHere: boolean;
}

export async function running(socket: string): Promise<Running> {
  const status = await callJson<Status>(socket, "GET", "/v1/status");
  return { ...status, isHere: isAlive(status.pid) };
}

/** Waits until the new process answers. @throws {SteerError} where the old one does, or has ended without one. */
export async function served(socket: string, before: Running): Promise<Status> {
  const end = performance.now() + SERVING_MS;
  while (true) {
    const hasEnded = before.isHere && !isAlive(before.pid); // before it is asked: the new one answers first
    try {
      const status = await callJson<Status>(socket, "GET", "/v1/status");
      const { last } = status.handovers;
      if (status.pid !== before.pid) {
        if (last?.result === "done" && last.pid === status.pid) return status;
        throw new SteerError(
          `Process ${before.pid} has ended, and has handed over to none; process ${status.pid} has been started since`,
        );
      }
      if (last !== null && last.result !== "done" && last.time !== before.handovers.last?.time) {
        throw new SteerError(`The new process did not take over: ${last.reason}; the running one goes on`);
      }
    } catch (error) {
      unlessBetween(error);
      if (hasEnded) {
        throw new SteerError(`Process ${before.pid} has ended, and has handed over to none`, {
          hint: "what it was told, its log says: journalctl -u xdpsteer -n 20",
        });
      }
      if (performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** While the control socket changes hands, nobody answers there. */
export function unlessBetween(error: unknown): undefined {
  if (!(error instanceof SteerError) || !/^Cannot reach/.test(error.message)) throw error;
}

/** Whether a process of this machine is there, and no zombie; false for one of another PID namespace, mostly. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}
