/**
 * `xdpsteer ban`: sources whose packets a running xdpsteer drops.
 *
 * @module
 */
import { readDuration } from "../config/limit.ts";
import { EXIT, SteerError } from "../errors.ts";
import type { Ban, BanStatus } from "../guard/bans.ts";
import { callJson } from "./client.ts";
import { print, printJson, table } from "./output.ts";

interface CommonOptions {
  readonly socket: string;
  readonly json?: boolean;
}

export interface AddOptions extends CommonOptions {
  readonly for?: string;
  readonly rule?: string;
  readonly reason?: string;
  readonly force?: boolean;
}

/** Bans a prefix. */
export async function add(prefix: string, { socket, json, force = false, ...order }: AddOptions): Promise<void> {
  const { for: duration, rule, reason } = order;
  if (duration !== undefined && readDuration(duration) === undefined) {
    throw new SteerError(`Cannot ban for "${duration}"`, {
      exitCode: EXIT.usage,
      hint: "expected seconds, or a time like 90s, 10m, 12h or 7d, up to 365 days",
    });
  }
  const body = { prefix, for: duration, rule, reason, by: await callerName(), force };
  const { ban } = await callJson<{ ban: Ban }>(socket, "POST", "/v1/bans", body);
  if (json) return printJson({ ban });
  print(`${ban.prefix} is banned from ${ruleText(ban)}${ban.until === null ? "" : ` until ${ban.until}`}`);
}

/** Lifts a ban. */
export async function remove(
  prefix: string,
  { socket, json, rule }: CommonOptions & { readonly rule?: string },
): Promise<void> {
  const query = new URLSearchParams({ prefix, by: await callerName(), ...rule === undefined ? {} : { rule } });
  const { ban } = await callJson<{ ban: Ban }>(socket, "DELETE", `/v1/bans?${query}`);
  if (json) return printJson({ ban });
  print(`${ban.prefix} is no longer banned from ${ruleText(ban)}`);
}

/** Shows all bans. */
export async function list({ socket, json }: CommonOptions): Promise<void> {
  const answer = await callJson<{ bans: readonly BanStatus[] }>(socket, "GET", "/v1/bans");
  if (json) return printJson(answer);
  if (answer.bans.length === 0) return print("nobody is banned");
  const rows = answer.bans.map((ban) => [
    ban.prefix,
    ban.rule ?? "all",
    ban.packets,
    ban.since,
    ban.until ?? "never",
    ban.by,
    ban.reason ?? "",
  ]);
  print(table(["PREFIX", "RULE", "PACKETS", "SINCE", "ENDS", "BY", "REASON"], rows));
}

function ruleText({ rule }: Ban): string {
  return rule === null ? "all rules" : `rule ${rule}`;
}

/** Who has called: for the list of bans, so whoever may use the socket is believed. */
async function callerName(): Promise<string> {
  const before = Deno.env.get("SUDO_USER");
  if (before !== undefined && /^[\w.-]{1,64}$/.test(before)) return before;
  const uid = Deno.uid();
  if (uid === 0) return "root"; // also where there is no /etc/passwd
  const users = await Deno.readTextFile("/etc/passwd").catch(() => "");
  const name = users.split("\n").map((line) => line.split(":")).find(([, , id]) => id === `${uid}`)?.[0];
  return name === undefined || name === "" ? `uid ${uid}` : name;
}
