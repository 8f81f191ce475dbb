/** What a measurement gives, and how hard it is to try. */

export interface Result {
  readonly workload: string;
  readonly subject: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** One per slice, or per round. */
  readonly values: readonly number[];
  /** Subjects of the same workload that this one is compared with, value by value. */
  readonly baselines?: readonly string[];
}

export interface Effort {
  /** Starts of each subject. */
  readonly rounds: number;
  /** Turns of each subject within a round, where a few per cent matter. */
  readonly slices: number;
  /** How long to send in a turn. */
  readonly sendMs: number;
  readonly pings: number;
  readonly soakMs: number;
  /** Aborted: what was started ends, and is removed. */
  readonly interrupted: AbortSignal;
}

export const FULL: Omit<Effort, "interrupted"> = { rounds: 5, slices: 6, sendMs: 100, pings: 4_000, soakMs: 60_000 };
export const QUICK: Omit<Effort, "interrupted"> = { rounds: 1, slices: 1, sendMs: 100, pings: 300, soakMs: 500 };

export type Report = (line: string) => void;
export type Workload = (effort: Effort, report: Report) => Promise<Result[]>;

export const C = "C";
export const OURS = "xdpsteer";
