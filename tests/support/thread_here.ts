/**
 * The thread of the HTTP interface without a thread: its code in this one, with messages that are copied as between
 * threads.
 *
 * @module
 */
import { Api } from "../../src/api/api_thread.ts";
import type { FromApi, ToApi } from "../../src/api/messages.ts";
import type { ApiThread } from "../../src/api/server.ts";

export class ThreadHere implements ApiThread {
  onerror: ApiThread["onerror"] = null;
  onmessage: ApiThread["onmessage"] = null;
  /** Takes messages and does nothing with them, as a thread that hangs. */
  hangs = false;
  readonly #api = new Api((message) => this.#tell(message));

  constructor() {
    this.#tell({ type: "ready" });
  }

  postMessage(message: ToApi): void {
    const copy = structuredClone(message);
    queueMicrotask(() => {
      if (!this.hangs) void this.#api.receive(copy);
    });
  }

  terminate(): void {
    this.hangs = true;
    void this.#api.receive({ type: "close" }); // what the end of a thread does
  }

  #tell(message: FromApi): void {
    const data = structuredClone(message);
    queueMicrotask(() => {
      if (!this.hangs) this.onmessage?.call(this as unknown as Worker, { data } as MessageEvent<FromApi>);
    });
  }
}
