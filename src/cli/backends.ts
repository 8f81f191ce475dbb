/**
 * `xdpsteer backends`: how the backends of a running xdpsteer stand, and taking them out of use and back.
 *
 * @module
 */
import type { BackendChanged } from "../api/backends.ts";
import type { HoldAction } from "../backends/holds.ts";
import type { BackendStatus } from "../backends/status.ts";
import { backendWords } from "../observe/backend_words.ts";
import { plural } from "../text.ts";
import { callJson } from "./client.ts";
import { print, printError, printJson, table } from "./output.ts";

interface CommonOptions {
  readonly socket: string;
  readonly json?: boolean;
}

/** Shows all backends in force, and those that are leaving. */
export async function list({ socket, json }: CommonOptions): Promise<void> {
  const answer = await callJson<{ readonly backends: readonly BackendStatus[] }>(socket, "GET", "/v1/backends");
  if (json) return printJson(answer);
  if (answer.backends.length === 0) return print("no rule forwards: there is no backend");
  const hasNames = answer.backends.some(({ meantBy }) => meantBy.length > 0);
  const rows = answer.backends.map((backend) => {
    const { name, names, rules, state, sessions, toRate, fromRate, ...words } = backendWords(backend);
    const { lastAnswer, answerTime, why } = words;
    return [
      ...[name, ...hasNames ? [names || "-"] : [], rules, state, sessions, toRate, fromRate],
      ...[lastAnswer, answerTime, why],
    ];
  });
  const titles = [
    ...["BACKEND", ...hasNames ? ["NAME"] : [], "RULES", "STATE", "SESSIONS", "TO/S", "FROM/S"],
    ...["LAST ANSWER", "ANSWER TIME", "WHY"],
  ];
  print(table(titles, rows));
}

export interface ActOptions extends CommonOptions {
  readonly to?: string;
  readonly save?: boolean;
}

/** Does something to a backend, and says what is left of it. */
export async function act(
  action: HoldAction,
  name: string,
  { socket, json = false, save = false, to }: ActOptions,
): Promise<void> {
  const body = { backend: name, action, to, save };
  const answer = await callJson<BackendChanged>(socket, "POST", "/v1/backends", body);
  if (json) return printJson(answer);
  const { backend, warnings, saved } = answer;
  for (const warning of warnings) printError(`warning: ${warning}`);
  print(`${backend.name} ${outcome(action, backend)}`);
  if (action === "undrain" || saved) return print(saved ? "saved to the configuration file" : "");
  print("not saved: it holds until xdpsteer ends, also when the file is reloaded (--save also writes it to the file)");
}

/** In words, what was done to a backend, to follow its name. */
export function outcome(
  action: HoldAction,
  { sessions, drain, rules }: Pick<BackendStatus, "sessions" | "drain" | "rules">,
): string {
  if (action === "undrain") {
    if (drain === null) return "takes new sessions again";
    return drain.by === "weight"
      ? "takes no new sessions still, since the file gives it weight: 0"
      : "is only kept for the sessions it has";
  }
  const has = plural(sessions, "session");
  const by = rules.length === 0 ? ", and no rule names it" : "";
  const isOne = sessions === 1;
  if (action === "drain") {
    return `takes no new sessions; it has ${has}, which ${isOne ? "ends by itself" : "end by themselves"}${by}`;
  }
  const to = drain?.movedTo ? drain.movedTo : "others";
  const go = isOne
    ? `goes to ${to} with its client's next packet`
    : `go to ${to} with the next packets of their clients`;
  return `takes no new sessions; its ${has} ${go}${by}`;
}
