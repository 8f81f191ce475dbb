/**
 * What can be asked of a machine before packets are steered on it, and what an answer is. The doctor asks everything; a
 * start asks what it has to know.
 *
 * @module
 */
import type { Config, InterfaceConfig, WorkersConfig } from "../config/schema.ts";

/** ok: as it should be, or worth knowing; warning: it runs, less well; problem: it does not run, or loses packets. */
export interface Verdict {
  readonly status: "ok" | "warning" | "problem";
  /** A sentence without a final period. */
  readonly text: string;
  /** The command, or the YAML of the configuration, that fixes it. */
  readonly fix?: string;
}

export const ok = (text: string): Verdict => ({ status: "ok", text });
export const warning = (text: string, fix?: string): Verdict => verdict("warning", text, fix);
export const problem = (text: string, fix?: string): Verdict => verdict("problem", text, fix);

function verdict(status: Verdict["status"], text: string, fix: string | undefined): Verdict {
  return { status, text, ...(fix === undefined ? {} : { fix }) };
}

/** Circumstances that checks look at. */
export interface Circumstances {
  /** The interfaces asked about, each with the settings it has or would have. */
  readonly interfaces: readonly InterfaceConfig[];
  /** The workers of a configuration; undefined where none was given. */
  readonly workers: WorkersConfig | undefined;
  /** The rules of a configuration and what those that forward share; undefined where none was given. */
  readonly rules: Pick<Config, "steering" | "forwarding"> | undefined;
  /** True where an interface that an xdpsteer steers already is in the way. */
  readonly starting: boolean;
}

/** A check of the machine. */
export interface MachineCheck {
  /** Stable id of what is looked at: `machine.cpus`. */
  readonly check: string;
  /** Symbolic errnos that calls fail with because of it, as long as it is not ok. */
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

/** The trimmed content of a small file; undefined where it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return undefined;
  }
}
