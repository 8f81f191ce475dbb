/**
 * Connections of a Unix socket, one by one. Deno's own listener removes whatever has the socket's name by the time its
 * thread is ended; Node's does so only when it is closed.
 *
 * @module
 */
import { createServer, type Server, type Socket } from "node:net";
import { hasHungUp, peerOf } from "../ffi/process.ts";
import type { Peer, RawConnection } from "./gate.ts";

/** Connections that wait to be taken; of users other than root and this process's own. */
const MAX_WAITING = 256;

export class UnixConnections {
  readonly #server: Server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  /** Of root and of the user of this process. */
  readonly #first: RawConnection[] = [];
  readonly #come: RawConnection[] = [];
  #wake: PromiseWithResolvers<void> | undefined;
  #isClosed = false;

  private constructor() {
    this.#server.on("connection", (socket: Socket) => {
      const raw = overSocket(socket);
      const uid = raw.peer?.uid;
      const isFirst = uid === 0 || uid === Deno.uid();
      if (!isFirst && this.#come.length >= MAX_WAITING) return raw.close();
      if (isFirst) this.#first.push(raw);
      else this.#come.push(raw);
      this.#wake?.resolve();
    });
  }

  /** Listens. Rejects with the system's error, where the path cannot be had. */
  static open(path: string): Promise<UnixConnections> {
    const connections = new UnixConnections();
    return new Promise((resolve, reject) => {
      connections.#server.once("error", reject);
      connections.#server.listen({ path }, () => resolve(connections));
    });
  }

  /** @throws when it is closed. */
  async accept(): Promise<RawConnection> {
    while (!this.#isClosed) {
      const raw = this.#first.shift() ?? this.#come.shift();
      if (raw !== undefined) return raw;
      this.#wake = Promise.withResolvers();
      await this.#wake.promise;
    }
    throw new Error("The listener is closed");
  }

  /** Removes the socket, and closes what was not taken. */
  close(): void {
    this.#isClosed = true;
    this.#server.close();
    for (const raw of [...this.#first.splice(0), ...this.#come.splice(0)]) raw.close();
    this.#wake?.resolve();
  }
}

function overSocket(socket: Socket): RawConnection {
  let held: Uint8Array = new Uint8Array();
  let hasEnded = false;
  let wake: PromiseWithResolvers<void> | undefined;
  const end = (): void => {
    hasEnded = true;
    wake?.resolve();
  };
  socket.on("data", (chunk: Uint8Array) => {
    socket.pause();
    held = chunk;
    wake?.resolve();
  });
  socket.on("end", end).on("close", end).on("error", end);
  return {
    peer: peerAt(socket),
    async read(buffer): Promise<number | null> {
      while (held.length === 0) {
        if (hasEnded) return null;
        wake = Promise.withResolvers();
        socket.resume();
        await wake.promise;
      }
      const piece = held.subarray(0, buffer.length);
      buffer.set(piece);
      held = held.subarray(piece.length);
      return piece.length;
    },
    write: (chunk) =>
      new Promise((resolve, reject) => {
        socket.write(chunk, (error) => error ? reject(error) : resolve(chunk.length));
      }),
    close: () => void socket.destroy(),
  };
}

function peerAt(socket: Socket): Peer {
  // Node tells neither; its handle has the descriptor, also in Deno.
  const fd = (socket as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd ?? -1;
  const uid = fd < 0 ? undefined : peerOf(fd)?.uid;
  return { uid: uid ?? -1, hasLeft: () => socket.destroyed || fd >= 0 && hasHungUp(fd) };
}
