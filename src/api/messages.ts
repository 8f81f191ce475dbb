/**
 * What the control thread and the one that has the connections tell each other.
 *
 * @module
 */
import type { ControlConfig } from "../config/schema.ts";
import type { ForwardedLine } from "../log.ts";
import type { FoundProblem } from "../observe/problems/kinds.ts";
import type { Answer, Question, StreamEvent } from "./question.ts";

/** Name of the thread; the entry module knows it by this. */
export const API_THREAD = "api";

export type ToApi =
  /** `again` where a thread before this one listened: it may have left something in the way, which is waited for. */
  | { readonly type: "listen"; readonly control: ControlConfig; readonly again: boolean }
  | { readonly type: "answer"; readonly id: number; readonly answer: Answer; readonly tookMs: number }
  | { readonly type: "stream"; readonly event: StreamEvent }
  | { readonly type: "streams ended" }
  | { readonly type: "ping" }
  | { readonly type: "close" };

export type FromApi =
  | { readonly type: "ready" }
  | { readonly type: "listening" }
  | { readonly type: "refused"; readonly message: string; readonly hint: string | undefined }
  /** All that keeps clients from a listener. */
  | { readonly type: "unreachable"; readonly problems: readonly FoundProblem[] }
  | { readonly type: "ask"; readonly id: number; readonly question: Question }
  | { readonly type: "unwatched" }
  | { readonly type: "log"; readonly line: ForwardedLine }
  | { readonly type: "pong" }
  | { readonly type: "closed" };
