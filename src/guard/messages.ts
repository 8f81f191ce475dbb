/**
 * What the control thread and the thread that reads lists tell each other.
 *
 * @module
 */
import type { SourceMaps } from "../bpf/source_maps.ts";
import type { SourceList } from "../steering/guard.ts";
import type { BuildOrder } from "./build.ts";
import type { ListReport } from "./list_report.ts";

/** Name of the thread; the entry module knows it by this. */
export const LISTS_THREAD = "lists";

export type ToLists =
  | { readonly type: "begin"; readonly maps: SourceMaps; readonly directory: string }
  /** Answered by `done`. */
  | { readonly type: "build"; readonly id: number; readonly order: BuildOrder }
  /** Answered by `done`. */
  | { readonly type: "clear"; readonly id: number; readonly place: number }
  /** The lists in force: of all others nothing has to be known any more. */
  | { readonly type: "keep"; readonly lists: readonly SourceList[] };

export type FromLists =
  | { readonly type: "ready" }
  | {
    readonly type: "done";
    readonly id: number;
    readonly error?: { readonly message: string; readonly hint?: string };
  }
  /** What was built last is not what the lists hold now. */
  | { readonly type: "changed" }
  /** Of the lists in force. */
  | { readonly type: "reports"; readonly reports: readonly ListReport[] };
