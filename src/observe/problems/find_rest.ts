/**
 * Problems of workers, interfaces, captures, the configuration file and the box's own programs.
 *
 * @module
 */
import type { FileState } from "../../appliance/reload.ts";
import type { CaptureStatus } from "../../capture/captures.ts";
import type { Condition } from "../../engine/interface.ts";
import type { Listener } from "../../host/listeners.ts";
import { rangeText, type Rule } from "../../steering/rule.ts";
import type { OutputState } from "../../stderr.ts";
import { plural } from "../../text.ts";
import type { FoundProblem } from "./kinds.ts";

/** A steered interface, and whether packets of it can be steered. */
export interface InterfaceState {
  /** As the configuration calls it. */
  readonly name: string;
  readonly condition: Pick<Condition, "state" | "why">;
  /** It is up and has a carrier. */
  readonly up: boolean;
}

/** By worker: `running`, or how its loop is instead; and if it is stalled, why. */
export function workerProblems(workers: readonly { readonly state: string; readonly why: string }[]): FoundProblem[] {
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

export function interfaceProblems(interfaces: readonly InterfaceState[]): FoundProblem[] {
  return interfaces.flatMap(({ name, condition: { state, why }, up }): FoundProblem[] => {
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
    return up ? [] : [{
      kind: "interface_down",
      subject: name,
      message: `Interface ${name} is down or has no carrier: nothing arrives`,
      fix: `ip link set dev ${name} up; ethtool ${name}`,
    }];
  });
}

export function captureProblems(captures: readonly CaptureStatus[]): FoundProblem[] {
  return captures.filter(({ state }) => state === "failed").map(({ rule, file, error }) => ({
    kind: "capture_failed",
    subject: rule,
    message: `Rule ${rule} is not captured: cannot write ${file}: ${error}`,
    fix: `ls -ld ${file}; then xdpsteer reload, or another file under capture:`,
  }));
}

export function fileProblems(file: string, { refused, lastGood, unsaved }: FileState): FoundProblem[] {
  const inForce = lastGood === null
    ? "the configuration before it stays in force"
    : `the last good one, ${lastGood}, is in force`;
  return [
    ...refused === null ? [] : [{
      kind: lastGood === null ? "config_refused" as const : "config_last_good" as const,
      subject: file,
      message: `${file} is refused, and ${inForce}: ${firstLine(refused.message)}`,
      fix: `xdpsteer check ${file}`,
      ...refused.message.includes("\n") ? { detail: refused.message } : {},
    }],
    ...unsaved.length === 0 ? [] : [{
      kind: "config_unsaved" as const,
      subject: file,
      message: `Rules in force are not in ${file}, and a restart would undo: ${unsaved.join("; ")}`,
      fix: "make the change with --save, or edit the file; xdpsteer reload goes back to the file",
    }],
  ];
}

export function logProblems({ isWritable, linesLost }: OutputState): FoundProblem[] {
  return isWritable ? [] : [{
    kind: "log_unread",
    subject: "standard error",
    message: `Nobody reads standard error: ${plural(linesLost, "line")} of the log are lost so far`,
    fix: "ls -l /proc/$(pidof -s xdpsteer)/fd/2; see what reads it",
  }];
}

/** Rules whose packets a program of the box would get if the rule were not there, and was not meant to lose. */
export function listenerProblems(rules: readonly Rule[], listeners: readonly Listener[]): FoundProblem[] {
  if (listeners.length === 0) return [];
  return rules.flatMap(({ name, ports, action }): FoundProblem[] => {
    if (action.kind === "pass" || action.kind === "drop") return [];
    if (action.kind === "forward" && action.noneLeft === "pass") return []; // it is the one that is left
    const taken = listeners.filter(({ port }) => ports.some(({ first, last }) => first <= port && port <= last));
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

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!;
}
