/**
 * What a check finds.
 *
 * @module
 */
import type { Verdict } from "../host/question.ts";

/** One thing that was looked at. */
export interface Finding extends Verdict {
  /** Stable id of what was looked at: `interface.mtu`. */
  readonly check: string;
  /** The interface it is about; undefined where it is about the machine. */
  readonly interface?: string;
  /** Symbolic errnos that calls fail with because of it, as long as it is not ok. */
  readonly explains: readonly string[];
}

/** What was looked at, and what a check says of it; in the order in which people read it. */
export function finding(
  { check, interface: name, explains }: Pick<Finding, "check" | "interface" | "explains">,
  verdict: Verdict,
): Finding {
  return { check, ...(name === undefined ? {} : { interface: name }), ...verdict, explains };
}

/** The numbers in a list as the kernel writes them: `0-3,8`. */
export function parseList(list: string): number[] {
  return list.split(",").filter((part) => part !== "").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** Bytes as people say them: 8 MiB. */
export function formatBytes(bytes: number): string {
  return bytes >= 2 ** 20 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${Math.round(bytes / 1024)} KiB`;
}
