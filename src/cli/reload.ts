/**
 * `xdpsteer reload`: a running xdpsteer reads its configuration file again.
 *
 * @module
 */
import type { Handover } from "../appliance/handover/estate.ts";
import type { PutBy, Reloaded } from "../appliance/reload_types.ts";
import type { Confirmed } from "../appliance/unconfirmed.ts";
import type { Difference } from "../appliance/difference.ts";
import { readDuration } from "../config/limit.ts";
import { readFirstConfig } from "../config/load.ts";
import { EXIT, SteerError } from "../errors.ts";
import { secondsText } from "../text.ts";
import { callJson, Refused } from "./client.ts";
import { print, printError, printJson } from "./output.ts";
import { handoverLines, running, served, unlessBetween } from "./upgrade.ts";

/** @throws {SteerError} with exit code 3 and everything that is wrong with the file when it is refused. */
export async function reload(
  file: string | undefined,
  { socket, json = false, confirm, dryRun = false }: ConfirmOptions & {
    socket: string;
    json?: boolean;
    dryRun?: boolean;
  },
): Promise<void> {
  const content = file === undefined ? undefined : readFirstConfig(file);
  if (dryRun) {
    const difference = await differenceFrom(socket, content);
    if (difference.restart.length > 0) Deno.exitCode = EXIT.failed;
    return printDifference(difference, json);
  }
  const before = await running(socket);
  let change: Change | undefined;
  try {
    const query = queryOf({ confirm });
    const answer = content === undefined
      ? callJson<Change>(socket, "POST", `/v1/reload${query}`)
      : callJson<Change>(socket, "PUT", `/v1/config${query}`, content);
    change = await answer.catch(unlessBetween);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 422) throw error;
    const { message, hint = "nothing was changed; fix the file and reload again" } = error;
    throw new SteerError(message, { hint, exitCode: EXIT.configInvalid });
  }
  if (change !== undefined && change.handover === undefined) return printChange(change, json);
  // Another process has put it in force, and the socket may have changed hands before the answer had come.
  const after = await served(socket, before);
  const handover = change?.handover as Handover | undefined ?? after.handovers.last!;
  if (change !== undefined) printChange(change, json);
  else if (json) printJson({ handover });
  if (!json) { for (const line of handoverLines(before, after, handover)) print(line); }
}

/** What a configuration would change; undefined: that of the file. */
export function differenceFrom(socket: string, content: Uint8Array | undefined): Promise<Difference> {
  return callJson<Difference>(socket, "POST", "/v1/diff", content);
}

/** Shows what a configuration would change. */
export function printDifference(difference: Difference, json: boolean): void {
  if (json) return printJson(difference);
  const { generation, live, handover, restart, warnings } = difference;
  for (const warning of warnings) printError(`warning: ${warning}`);
  const show = (title: string, lines: readonly string[]): void => {
    if (lines.length > 0) print(`${title}:\n${lines.map((line) => `  ${line}`).join("\n")}`);
  };
  if (live.length + handover.length + restart.length === 0) {
    return print(`no difference to generation ${generation}, which is in force`);
  }
  show("changes live, without a packet lost", live);
  show("changes by a handover to a new process, without a packet lost", handover);
  show("needs a restart", restart);
  if (restart.length > 0) print("a reload is refused as a whole; systemctl restart xdpsteer puts all of it in force");
}

export interface ConfirmOptions {
  /** It is taken back after this time unless it is confirmed. */
  readonly confirm?: string | undefined;
}

/** The query of a change, `?` included. @throws {SteerError} for what is no time. */
export function queryOf(
  { confirm, ...words }: ConfirmOptions & Readonly<Record<string, string | undefined>>,
): string {
  if (confirm !== undefined && readDuration(confirm) === undefined) {
    throw new SteerError(`Cannot wait "${confirm}" for a confirmation`, {
      exitCode: EXIT.usage,
      hint: "expected seconds, or a time like 60s or 5m",
    });
  }
  const given = Object.entries({ confirm, ...words }).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

/** Keeps a change that waits to be confirmed. Ends with 1 where it is not saved though it was to be. */
export async function confirm({ socket, json = false }: { socket: string; json?: boolean }): Promise<void> {
  const answer = await callJson<Confirmed & { generation: number }>(socket, "POST", "/v1/confirm");
  const { generation, changes, saved, reason } = answer;
  if (reason !== undefined) Deno.exitCode = EXIT.failed;
  if (json) return printJson(answer);
  for (const line of changes) print(line);
  print(`confirmed: generation ${generation} stays in force${saved ? "; saved to the configuration file" : ""}`);
  if (reason !== undefined) printError(`not saved: ${reason}`);
}

/** What a change of the rules answers. */
export interface Change extends Reloaded {
  /** Of changes that can be saved. */
  readonly saved?: boolean;
}

const PUT_BY_WORDS: Readonly<Record<PutBy, string>> = {
  start: "since the start",
  watch: "by the file watch",
  signal: "by SIGHUP",
  reload: "by xdpsteer reload",
  request: "by a request",
  unconfirmed: "since a change was taken back that nobody confirmed",
};

/** Shows what a change did: as JSON what was answered. */
export function printChange(change: Change, json: boolean): void {
  if (json) return printJson(change);
  const { generation, changes, elapsedMs, saved, inForce, warnings, kept = [], confirmWithin } = change;
  for (const warning of warnings) printError(`warning: ${warning}`);
  for (const line of changes) print(line);
  for (const line of kept) print(`kept: ${line}`);
  const file = saved === true ? "; saved to the configuration file" : "";
  if (changes.length === 0) {
    const since = inForce === undefined
      ? ""
      : `, ${PUT_BY_WORDS[inForce.by]} ${secondsText(inForce.secondsAgo * 1000)} ago`;
    print(`nothing to change: already in force as generation ${generation}${since}${file}`);
  }
  if (changes.length > 0) print(`generation ${generation} is in force after ${elapsedMs.toFixed(1)} ms${file}`);
  if (confirmWithin !== undefined) {
    print(`taken back in ${confirmWithin} s, unless you confirm it: xdpsteer confirm`);
  } else if (saved === false && changes.length > 0) {
    print("not saved: the change lasts until the next reload (use --save to keep it)");
  }
}
