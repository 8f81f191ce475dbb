/**
 * What a check finds, and what a check is.
 *
 * @module
 */
import type { InterfaceConfig, WorkersConfig } from "../config/schema.ts";

/** ok: as it should be, or worth knowing; warning: it runs, less well; problem: it does not run, or loses packets. */
export type FindingStatus = "ok" | "warning" | "problem";

/** One thing that was looked at. */
export interface Finding {
  /** Stable id of what was looked at: `interface.mtu`. */
  readonly check: string;
  /** The interface it is about; undefined where it is about the machine. */
  readonly interface?: string;
  readonly status: FindingStatus;
  /** A sentence without a final period. */
  readonly text: string;
  /** The command, or the YAML of the configuration, that fixes it. */
  readonly fix?: string;
  /** Symbolic errnos that calls fail with because of it, as long as it is not ok. */
  readonly explains: readonly string[];
}

/** What one check says; its id, interface and errnos are added by who runs it. */
export type Verdict = Pick<Finding, "status" | "text" | "fix">;

/** What was looked at, and what a check says of it; in the order in which people read it. */
export function finding(
  { check, interface: name, explains }: Pick<Finding, "check" | "interface" | "explains">,
  verdict: Verdict,
): Finding {
  return { check, ...(name === undefined ? {} : { interface: name }), ...verdict, explains };
}

/** Circumstances that checks look at. */
export interface Circumstances {
  /** The interfaces asked about, each with the settings it has or would have. */
  readonly interfaces: readonly InterfaceConfig[];
  /** The workers of a configuration; undefined where none was given. */
  readonly workers: WorkersConfig | undefined;
  /** The box's own addresses that forwarding is to translate to. */
  readonly addresses: readonly string[];
  /** True where an interface that an xdpsteer steers already is in the way. */
  readonly starting: boolean;
}

/** A check of the machine. */
export interface MachineCheck {
  readonly check: string;
  readonly explains: readonly string[];
  /** @returns undefined where there is nothing to say. */
  readonly look: (circumstances: Circumstances) => Verdict | undefined;
}

/** A check of one interface that exists. */
export interface InterfaceCheck {
  readonly check: string;
  readonly explains: readonly string[];
  /** @returns undefined where there is nothing to say. */
  readonly look: (config: InterfaceConfig, circumstances: Circumstances) => Verdict | undefined;
}

export const ok = (text: string): Verdict => ({ status: "ok", text });
export const warning = (text: string, fix?: string): Verdict => verdict("warning", text, fix);
export const problem = (text: string, fix?: string): Verdict => verdict("problem", text, fix);

function verdict(status: FindingStatus, text: string, fix: string | undefined): Verdict {
  return { status, text, ...(fix === undefined ? {} : { fix }) };
}

/** The trimmed content of a small file; undefined where it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return undefined;
  }
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
