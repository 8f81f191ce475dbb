/**
 * A request and its answer, as they go between the thread that has the connections and the control thread.
 *
 * @module
 */

export interface Question {
  /** `GET` also for a HEAD. */
  readonly method: string;
  /** As it was sent: a path, or a whole URL. */
  readonly url: string;
  readonly ifMatch: string | undefined;
  readonly body: Uint8Array;
  /** False where only GET is allowed. */
  readonly mayChange: boolean;
}

/** What is sent back. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  /** The body is the beginning of a stream, which goes on. */
  readonly stream?: StreamPlace;
}

/** What of a stream a watcher has been told. */
export interface StreamPlace {
  readonly generation: number;
  /** The last line of the log. */
  readonly logId: number;
}

/** A line of the log, encoded for watchers. */
export interface StreamLine {
  readonly kind: "log";
  readonly id: number;
  readonly text: string;
}

/** What all watchers are told next, encoded. */
export type StreamEvent =
  | { readonly kind: "config" | "tick"; readonly generation: number; readonly text: string }
  | StreamLine;
