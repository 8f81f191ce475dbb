/**
 * `xdpsteer status`: asks a running xdpsteer over its control socket.
 *
 * @module
 */
import { EXIT, messageOf, SteerError } from "../errors.ts";
import { backendWords } from "../observe/backend_words.ts";
import type { Snapshot } from "../observe/observer.ts";
import type { EndedProblem, Problem } from "../observe/problems/kinds.ts";
import type { InterfaceStatus, RuleStatus } from "../observe/snapshot.ts";
import {
  answeredPackets,
  AT_SOCKETS,
  guardedPackets,
  isAnswered,
  OF_ALL_RULES,
  OUTCOMES,
  REASON_WORDS,
} from "../observe/vocabulary.ts";
import { FATE_TABLE, isServed } from "../steering/fate.ts";
import { BOUND_WORDS } from "../steering/sessions.ts";
import { plural, secondsText } from "../text.ts";
import { callJson } from "./client.ts";
import { print, printJson, table } from "./output.ts";
import { checkLines, endedLines, problemLines } from "./problems.ts";

/** The part of /v1/status that is shown. */
type Status = Snapshot & {
  readonly problems: readonly Problem[];
  readonly endedProblems: readonly EndedProblem[];
  /** What came to translation ports and is of no session. */
  readonly translationPorts: RuleStatus | null;
  readonly handovers?: { readonly last: { readonly result: string; readonly time: string } | null };
};

export interface StatusOptions {
  readonly socket: string;
  readonly json?: boolean;
  /** Only says whether there are problems, and ends with 1 if so. */
  readonly check?: boolean;
}

export async function status({ socket, json, check }: StatusOptions): Promise<void> {
  if (check) return await checkProblems(socket, json ?? false);
  const answer = await callJson<Status>(socket, "GET", "/v1/status");
  if (json) return printJson(answer);
  const { generation, uptimeMs, problems, endedProblems = [], interfaces } = answer; // an older process has none
  const { result, time } = answer.handovers?.last ?? {};
  const crash = result === "adopted" ? `, went on with what there was after a crash at ${time}` : "";
  print(`generation ${generation}, up ${Math.round(uptimeMs / 1000)} s${crash}`);
  const lines = [...problems.length > 0 ? problemLines(problems) : [], ...endedLines(endedProblems)];
  if (lines.length > 0) print(`${lines.join("\n")}\n`);
  for (const status of interfaces) print(interfaceLine(status));
  for (const part of [rules, bans, workers, backends, names, lists, captures, losses, refusals, totals]) {
    const text = part(answer);
    if (text !== "") print(`\n${text}`);
  }
}

/** What new sessions were refused for. */
function refusals({ workers }: Status): string {
  const sumOf = (name: "refusedRows" | "refusedPorts" | "refusedBackends"): number =>
    workers.reduce((sum, { loop }) => sum + loop[name], 0);
  const counts = { rows: sumOf("refusedRows"), ports: sumOf("refusedPorts"), backends: sumOf("refusedBackends") };
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([bound, count]) => {
      const { full, remedy } = BOUND_WORDS[bound as keyof typeof BOUND_WORDS];
      return `${plural(count, "packet")} refused that would begin a session: ${full}; ${remedy}`;
    }).join("\n");
}

/** A monitor reads the first line, and the exit code: also of an xdpsteer that does not answer. */
async function checkProblems(socket: string, json: boolean): Promise<void> {
  let lines: readonly string[];
  let isWell = false;
  try {
    const { generation, problems, rules: all } = await callJson<Status>(socket, "GET", "/v1/status");
    isWell = problems.length === 0;
    if (json) printJson({ ok: isWell, problems });
    lines = json ? [] : checkLines(problems, { generation, rules: all.filter(({ inForce }) => inForce).length });
  } catch (error) {
    if (!(error instanceof SteerError) || json) throw error;
    lines = [`xdpsteer CRITICAL: ${messageOf(error)}`, ...error.hint === undefined ? [] : [`hint: ${error.hint}`]];
  }
  if (lines.length > 0) print(lines.join("\n"));
  if (!isWell) Deno.exitCode = EXIT.failed;
}

/** How an interface stands: `eth1: native XDP, 4 queues, 0 of them zero-copy`. */
function interfaceLine(status: InterfaceStatus): string {
  const { name, currentName, state, since, why, attach, queues, reattachments, unattachedMs } = status;
  const called = currentName === name ? name : `${name} (now ${currentName})`;
  if (state !== "attached") return `${called}: ${state.toUpperCase()} since ${since}: ${why}`;
  const zeroCopy = queues.filter((queue) => queue.zeroCopy).length;
  const off = reattachments === 0
    ? ""
    : `; attached again ${plural(reattachments, "time")}, and not attached for ${secondsText(unattachedMs)} in all`;
  return `${called}: ${attach} XDP, ${plural(queues.length, "queue")}, ${zeroCopy} of them zero-copy${off}`;
}

function rules({ rules, totals }: Status): string {
  const shown = rules.filter(({ inForce }) => inForce);
  const allOwn = shown.every(({ addresses }) => addresses === "own");
  const delivers = shown.some(({ action }) => action === "deliver");
  const answered = shown.some(isAnswered);
  const isGuarded = shown.some(({ guarded }) => guardedPackets(guarded) > 0);
  const atSockets = totals.socketDrops + totals.redirectErrors; // nobody counts by rule what no worker has seen
  return table(
    [
      ...["RULE", "PORTS", ...allOwn ? [] : ["ADDRESSES"], "WORKER", "ACTION", "REDIRECTED", "DROPPED", "PASSED"],
      ...[...delivers ? ["DELIVERED"] : [], ...answered ? ["ANSWERED"] : [], "LOST", ...isGuarded ? ["GUARDED"] : []],
    ],
    [
      ...shown.map((rule) => [
        rule.name,
        rule.ports,
        ...allOwn ? [] : [rule.addresses],
        `${rule.worker}`,
        `${rule.action}`,
        rule.redirected.packets,
        rule.dropped.packets,
        rule.passed.packets,
        ...delivers ? [rule.delivered.packets] : [],
        ...answered ? [answeredPackets(rule)] : [],
        sumOf(lostFates(rule.workers)) + sumOf(lostFates(rule.answers)),
        ...isGuarded ? [guardedPackets(rule.guarded)] : [],
      ]),
      ...atSockets === 0 ? [] : [[
        ...[AT_SOCKETS, OF_ALL_RULES, ...allOwn ? [] : [""], "", "", "", "", ""],
        ...[...delivers ? [""] : [], ...answered ? [""] : []],
        ...[atSockets, ...isGuarded ? [""] : []],
      ]],
    ],
  );
}

function bans({ bans: { operator, limit } }: Status): string {
  if (operator + limit === 0) return "";
  return `${plural(operator + limit, "ban")} in force, ${limit} of them set by limits (xdpsteer ban list)`;
}

function workers({ workers }: Status): string {
  return table(
    ["WORKER", "STATE", "RECEIVED", "BUSY"],
    workers.map(({ worker, state, received, busyRatio }) => [
      `${worker}`,
      state,
      received,
      `${(busyRatio * 100).toFixed(1)} %`,
    ]),
  );
}

function backends({ backends }: Status): string {
  if (backends.length === 0) return "";
  return table(
    ["BACKEND", "RULES", "STATE", "VIA", "NEXT HOP", "SESSIONS", "TO/S", "FROM/S", "LAST ANSWER", "ANSWER TIME", "WHY"],
    backends.map(backendWords).map(
      ({ name, rules, state, via, nextHop, sessions, toRate, fromRate, lastAnswer, answerTime, why }) => [
        ...[name, rules, state, via, nextHop],
        ...[sessions, toRate, fromRate],
        ...[lastAnswer, answerTime, why],
      ],
    ),
  );
}

const SHOWN_BACKENDS = 4;

function names({ names }: Status): string {
  if (names.length === 0) return "";
  return table(
    ["NAME", "MEANS", "STATE", "ASKED AGAIN IN", "LAST SUCCESS"],
    names.map(({ name, backends, error, againSeconds, lastSuccess }) => {
      const more = backends.length - SHOWN_BACKENDS;
      return [
        name,
        backends.length === 0
          ? "-"
          : `${backends.slice(0, SHOWN_BACKENDS).join(" ")}${more > 0 ? ` and ${more} more` : ""}`,
        error === null ? "ok" : "UNRESOLVED",
        `${againSeconds} s`,
        lastSuccess ?? "never",
      ];
    }),
  );
}

function lists({ lists }: Status): string {
  if (lists.length === 0) return "";
  return table(
    ["LIST", "ENTRIES", "BAD LINES", "STATE", "LAST SUCCESS"],
    lists.map(({ name, entries, badLines, error, lastSuccess }) => [
      name,
      entries,
      badLines,
      error === null ? "ok" : lastSuccess === null ? "MISSING" : "STALE",
      lastSuccess ?? "never",
    ]),
  );
}

function captures({ captures }: Status): string {
  if (captures.length === 0) return "";
  return table(
    ["CAPTURE OF", "STATE", "WRITTEN", "DROPPED", "FILE"],
    captures.map(({ rule, state, written, dropped, file, error }) => [
      rule,
      state === "failed" ? "FAILED" : state,
      written,
      dropped,
      `${file ?? "(over)"}${error === null ? "" : `: ${error}`}`,
    ]),
  );
}

/** Wherever packets did not get what a rule says: how many, and why. */
function losses({ interfaces, rules, translationPorts }: Status): string {
  const rows = [
    ...rules.flatMap(({ name, workers, answers }) => [
      ...fateRows(name === "" ? "no rule" : `rule ${name}`, workers),
      ...fateRows(`rule ${name}, answers`, answers),
    ]),
    ...fateRows("translation ports", translationPorts?.workers ?? []),
    ...interfaces.flatMap(socketLosses),
    ...interfaces.flatMap(({ name, verdicts: { drop, pass } }) => [
      ...verdictRows(`${name}, dropped`, drop),
      ...verdictRows(`${name}, passed`, pass),
    ]),
  ];
  return rows.length === 0 ? "" : table(["NOT SERVED AT", "REASON", "PACKETS", "MEANING"], rows);
}

/** Packets that end in the XDP program without a rule's saying so. */
function verdictRows(where: string, byReason: Readonly<Record<string, number>>): (string | number)[][] {
  return Object.entries(byReason).filter(([, packets]) => packets > 0).map(([reason, packets]) => [
    where,
    reason,
    packets,
    Object.hasOwn(REASON_WORDS, reason) ? REASON_WORDS[reason as keyof typeof REASON_WORDS] : "",
  ]);
}

function fateRows(where: string, workers: RuleStatus["workers"]): (string | number)[][] {
  return [...lostFates(workers)].map(([fate, packets]) => [
    where,
    fate,
    packets,
    Object.hasOwn(FATE_TABLE, fate) ? FATE_TABLE[fate as keyof typeof FATE_TABLE].words : "",
  ]);
}

const sumOf = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((sum, packets) => sum + packets, 0);

function lostFates(workers: RuleStatus["workers"]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { fates } of workers) {
    for (const [fate, { packets }] of Object.entries(fates)) {
      if (packets > 0 && !isServed(fate)) counts.set(fate, (counts.get(fate) ?? 0) + packets);
    }
  }
  return counts;
}

const SOCKET_LOSSES = OUTCOMES.filter(({ where, lost }) => where === "socket" && lost);

function socketLosses({ name, queues }: InterfaceStatus): (string | number)[][] {
  return queues.flatMap(({ queue, sockets }) =>
    sockets.flatMap(({ worker, statistics }) =>
      SOCKET_LOSSES.flatMap(({ reason, words }) => {
        const packets = statistics[reason as keyof typeof statistics];
        return packets === 0 ? [] : [[`${name}, queue ${queue}, worker ${worker}`, reason, packets, words]];
      })
    )
  );
}

function totals(status: Status): string {
  const { seen, verdicts, received, socketDrops, redirectErrors } = status.totals;
  const answers = status.translationPorts?.redirected.packets ?? 0;
  const unredirected = redirectErrors > 0 ? `, ${redirectErrors} lost since their socket was closed or cut off` : "";
  const ofThem = answers > 0 ? `, ${answers} of all redirected came to translation ports, as backends' answers do` : "";
  return `${plural(seen, "packet")} seen: ${verdicts.pass} passed, ${verdicts.drop} dropped, ${verdicts.redirect} ` +
    `redirected (${received} received by workers, ${socketDrops} dropped at sockets${unredirected})${ofThem}`;
}
