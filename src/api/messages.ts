/**
 * What the control thread and the one that has the connections tell each other.
 *
 * @module
 */
import type { ControlConfig } from "../config/schema.ts";
import type { ForwardedLine } from "../log.ts";
import type { Answer, Question, StreamEvent } from "./question.ts";

/** Name of the thread; the entry module knows it by this. */
export const API_THREAD = "api";

export type ToApi =
  | { readonly type: "listen"; readonly control: ControlConfig }
  | { readonly type: "answer"; readonly id: number; readonly answer: Answer; readonly tookMs: number }
  | { readonly type: "stream"; readonly event: StreamEvent }
  | { readonly type: "streams ended" }
  | { readonly type: "ping" }
  | { readonly type: "close" };

export type FromApi =
  | { readonly type: "ready" }
  | { readonly type: "listening" }
  | { readonly type: "refused"; readonly message: string; readonly hint: string | undefined }
  | { readonly type: "ask"; readonly id: number; readonly question: Question }
  | { readonly type: "unwatched" }
  | { readonly type: "log"; readonly line: ForwardedLine }
  | { readonly type: "pong" }
  | { readonly type: "closed" };
