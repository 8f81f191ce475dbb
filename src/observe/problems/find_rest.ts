/**
 * Problems of workers, interfaces, captures, the configuration file and the box's own programs.
 *
 * @module
 */
import { needsRestart } from "../../appliance/fixed.ts";
import { type FileState, NOT_CONFIRMED } from "../../appliance/reload_types.ts";
import type { CaptureStatus } from "../../capture/captures.ts";
import type { Condition } from "../../engine/interface.ts";
import type { WorkerPool } from "../../engine/workers.ts";
import type { DeadmanReport } from "../../engine/deadman_watch.ts";
import type { Repair } from "../../engine/reconciler.ts";
import type { Pause } from "../../host/pauses.ts";
import type { Listener } from "../../host/listeners.ts";
import { areFor } from "../../steering/addresses.ts";
import { rangeText, type Rule } from "../../steering/rule.ts";
import type { OutputState } from "../../stderr.ts";
import { firstOf, plural, secondsText } from "../../text.ts";
import type { FoundProblem } from "./kinds.ts";

/** A steered interface, and whether packets of it can be steered. */
export interface InterfaceState {
  /** As the configuration calls it. */
  readonly name: string;
  readonly condition: Pick<Condition, "state" | "why">;
  /** It is up and has a carrier. */
  readonly up: boolean;
  /** Its MTU, and the largest with which every packet fits a chunk. */
  readonly mtu: { readonly now: number; readonly largest: number } | undefined;
  /** Queues without sockets that it has got since the start. */
  readonly newQueues: readonly number[];
}

export interface WorkerState {
  /** `running`, or how its loop is instead. */
  readonly state: string;
  /** If it is stalled. */
  readonly why: string;
}

/** By worker. */
export function workerStates(workers: Pick<WorkerPool, "counters" | "stateName" | "whyStalled">): WorkerState[] {
  return workers.counters.map((_, worker) => {
    const state = workers.stateName(worker);
    return { state, why: state === "stalled" ? workers.whyStalled(worker) : "" };
  });
}

export function workerProblems(workers: readonly WorkerState[]): FoundProblem[] {
  return workers.flatMap(({ state, why }, worker) =>
    state === "running" ? [] : [{
      kind: "worker_down" as const,
      subject: `${worker}`,
      message: `Worker ${worker} does not run, and the packets of its ports are lost: ${
        state === "stalled" ? why : `it is ${state}`
      }`,
      fix: "systemctl restart xdpsteer",
    }]
  );
}

/** How long something that was put right, or is over, stands in the list: then it is told as over. */
const TOLD_MS = 1000;

export function deadmanProblems({ isOn, agoMs, last }: DeadmanReport): FoundProblem[] {
  if (!isOn && agoMs > TOLD_MS) return [];
  const seconds = secondsText(last.seconds * 1000);
  const what = isOn
    ? "No worker's loop turns, and everything has passed"
    : "No worker's loop turned, and everything passed";
  return [{
    kind: "deadman_on",
    subject: "all",
    message: `${what} to the kernel stack for ${seconds}: ${plural(last.packets, "packet")} for listed ports`,
    ...isOn ? {} : { stopsNothing: true as const },
    fix: "find what stopped the process or took its CPUs: journalctl -k; systemctl status xdpsteer",
  }];
}

export function interfaceProblems(interfaces: readonly InterfaceState[]): FoundProblem[] {
  const oneWorks = interfaces.some(({ condition: { state }, up }) => state === "attached" && up);
  return interfaces.flatMap(({ name, condition: { state, why }, up, mtu, newQueues }): FoundProblem[] => {
    if (state === "gone") {
      return [{
        kind: "interface_gone",
        subject: name,
        message: `Interface ${name} is gone, and nothing of it is steered: ${why}`,
        fix: `make it again: it is attached at once; ip link show dev ${name}`,
      }];
    }
    if (state !== "attached") {
      return [{
        kind: "program_detached",
        subject: name,
        message: `Interface ${name} is not attached, and its packets go to the kernel stack: ${why}`,
        fix: `xdpsteer doctor --interface ${name}; it is tried again every second`,
      }];
    }
    return [
      ...up ? [] : [{
        kind: "interface_down" as const,
        subject: name,
        message: `Interface ${name} is down or has no carrier: nothing arrives`,
        ...oneWorks ? { stopsNothing: true as const } : {}, // packets come by that one
        fix: `ip link set dev ${name} up; ethtool ${name}`,
      }],
      ...newQueues.length === 0 ? [] : [{
        kind: "queues_added" as const,
        subject: name,
        message:
          `Interface ${name} has got queues that have no sockets (${newQueues.join(", ")}), whose packets go to ` +
          "the kernel stack",
        fix: "systemctl restart xdpsteer, or set the number back with ethtool -L",
      }],
      ...mtu === undefined || mtu.now <= mtu.largest ? [] : [{
        kind: "mtu_too_large" as const,
        subject: name,
        message: `Interface ${name} has MTU ${mtu.now}, and a chunk has room for packets of ${mtu.largest} bytes: ` +
          "longer ones are lost",
        fix: `ip link set dev ${name} mtu ${mtu.largest}; or umem: { chunk_size: 4096 } and a restart`,
      }],
    ];
  });
}

export function repairProblems(repairs: readonly Repair[]): FoundProblem[] {
  return repairs.filter(({ agoMs }) => agoMs <= TOLD_MS).map(({ what, words, wrongMs }) => ({
    kind: "steering_changed",
    subject: what,
    message: `Somebody changed in the kernel what steers packets, and it was put right after at most ${
      secondsText(wrongMs)
    }: ${words}`,
    fix: "bpftool map list, and who uses bpf(2): ausearch -sc bpf",
  }));
}

/** @param last The last time in which the process did not run. */
export function pauseProblems(last: Pause | undefined): FoundProblem[] {
  return last === undefined || last.agoMs > TOLD_MS ? [] : [{
    kind: "paused",
    subject: "xdpsteer",
    message:
      `The process did not run for ${secondsText(last.lastMs)}: somebody stopped it, or the machine stood still. ` +
      "What came meanwhile has waited, or is lost where rings were full",
    fix: "journalctl --since -5min; and who stops it: a debugger, a frozen cgroup, a virtual machine that was moved",
  }];
}

export function captureProblems(captures: readonly CaptureStatus[]): FoundProblem[] {
  return captures.filter(({ state }) => state === "failed").map(({ rule, file, error }) => ({
    kind: "capture_failed",
    subject: rule,
    message: `Rule ${rule} is not captured: cannot write ${file}: ${error}`,
    fix: `ls -ld ${file}; then xdpsteer reload, or another file under capture:`,
  }));
}

export function fileProblems(
  file: string,
  { refused, lastGood, settling, unsaved, unconfirmed }: FileState,
): FoundProblem[] {
  const inForce = lastGood === null
    ? "the configuration before it stays in force"
    : `the last good one, ${lastGood}, is in force`;
  return [
    ...refused === null ? [] : [{
      kind: lastGood === null ? "config_refused" as const : "config_last_good" as const,
      subject: file,
      message: `${file} is refused, and ${inForce}: ${reasonIn(file, refused.message)}`,
      fix: needsRestart(refused.message)
        ? "systemctl restart xdpsteer puts it in force; or undo that part of the change"
        : refused.message.includes(NOT_CONFIRMED)
        ? "correct the file; xdpsteer reload puts it in force for good, and so would a restart"
        : `xdpsteer check ${file}`,
      ...refused.message.includes("\n") ? { detail: firstLines(refused.message) } : {},
    }],
    ...unconfirmed === null ? [] : [{
      kind: "config_unconfirmed" as const,
      subject: file,
      message: `A change waits for its confirmation, and is taken back in ${
        plural(unconfirmed.secondsLeft, "second")
      }: ${firstOf(unconfirmed.changes, SHOWN_CHANGES)}`,
      fix: "xdpsteer confirm",
    }],
    ...settling === null ? [] : [{
      kind: "config_settling" as const,
      subject: file,
      message: `${file} loses ${settling.lost} of ${settling.rules} rules, and is put in force in ${
        plural(settling.secondsLeft, "second")
      } if it still says so`,
      fix: "xdpsteer reload puts it in force at once; if it is only half of what was meant, save it whole",
    }],
    ...unsaved.length === 0 ? [] : [{
      kind: "config_unsaved" as const,
      subject: file,
      message: `Rules in force are not in ${file}, and a restart would undo: ${firstOf(unsaved, SHOWN_CHANGES)}`,
      fix: "make the change with --save, or edit the file; xdpsteer reload goes back to the file",
    }],
  ];
}

export function logProblems({ isWritable, isFull, linesLost }: OutputState): FoundProblem[] {
  if (isWritable) return [];
  const why = isFull ? "Standard error goes to a disk that is full" : "Nobody reads standard error";
  const lost = linesLost === 0
    ? "no line of the log is lost yet"
    : `${plural(linesLost, "line")} of the log ${linesLost === 1 ? "is" : "are"} lost so far`;
  return [{
    kind: "log_unread",
    subject: "standard error",
    message: `${why}: ${lost}`,
    fix: isFull
      ? "df -h $(readlink /proc/$(pidof -s xdpsteer)/fd/2); make room there: what is kept is written then"
      : "ls -l /proc/$(pidof -s xdpsteer)/fd/2; see what reads it",
  }];
}

/** Rules that deliver to a port which no program has. */
export function deliveryProblems(rules: readonly Rule[], listeners: readonly Listener[]): FoundProblem[] {
  return rules.flatMap(({ name, action }): FoundProblem[] => {
    if (action.kind !== "deliver" || listeners.some(({ port }) => port === action.port)) return [];
    return [{
      kind: "nobody_listens",
      subject: name,
      message: `Nobody listens on port ${action.port}, which rule ${name} delivers to`,
      fix: `ss -ulpn sport = :${action.port}`,
    }];
  });
}

/** Rules whose packets a program of the box would get if the rule were not there, and was not meant to lose. */
export function listenerProblems(rules: readonly Rule[], listeners: readonly Listener[]): FoundProblem[] {
  if (listeners.length === 0) return [];
  return rules.flatMap(({ name, ports, addresses, action }): FoundProblem[] => {
    if (action.kind === "pass" || action.kind === "drop") return [];
    if (action.kind === "forward" && action.noneLeft === "pass") return []; // it is the one that is left
    const own = action.kind === "deliver" ? action.port : undefined; // it is listed too, and gets its packets
    const taken = listeners.filter(({ port, address }) =>
      port !== own && ports.some(({ first, last }) => first <= port && port <= last) &&
      (address === undefined || areFor(addresses, address))
    );
    if (taken.length === 0) return [];
    const numbers = [...new Set(taken.map(({ port }) => port))].sort((one, other) => one - other);
    const text = numbers.slice(0, SHOWN_PORTS).map((port) => rangeText({ first: port, last: port })).join(", ");
    const more = numbers.length > SHOWN_PORTS ? ` and ${numbers.length - SHOWN_PORTS} more` : "";
    return [{
      kind: "local_listener",
      subject: name,
      message: `A program of this box listens on port ${text}${more}, whose packets rule ${name} takes`,
      fix: `ss -ulpn sport = :${numbers[0]}`,
    }];
  });
}

const SHOWN_PORTS = 5;
/** Characters of a list of changes. */
const SHOWN_CHANGES = 300;

/** A file of quotation marks has hundreds of mistakes. */
const DETAIL_LINES = 20;

function firstLines(text: string): string {
  const lines = text.split("\n");
  if (lines.length <= DETAIL_LINES) return text;
  return [...lines.slice(0, DETAIL_LINES), `… and ${lines.length - DETAIL_LINES} more lines`].join("\n");
}

/** The first of the mistakes, without the name of the file before its place. */
function reasonIn(file: string, message: string): string {
  const [first = ""] = message.split("\n", 1);
  const place = /^(\d+):(\d+): (.*)$/.exec(first.startsWith(`${file}:`) ? first.slice(file.length + 1) : "");
  return place === null ? first : `line ${place[1]}, column ${place[2]}: ${place[3]}`;
}
