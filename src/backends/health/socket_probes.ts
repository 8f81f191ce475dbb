/**
 * UDP and TCP: a datagram with an answer, a connection.
 *
 * @module
 */
import { ERRNO } from "../../ffi/errno.ts";
import { IpSocket } from "../../ffi/ip_socket.ts";
import type { SocketAddress } from "../../ffi/udp.ts";
import { UAPI } from "../../ffi/uapi.ts";
import type { HealthCheck } from "../../steering/forward.ts";
import { payloadBytes } from "../../steering/payload.ts";
import { failure, type Outcome, type Probe } from "./probe.ts";
import type { SourcePorts } from "./source_ports.ts";
import { plural } from "../../text.ts";

/** Answers are looked at to this length; what is expected is shorter. */
const LONGEST_DATAGRAM = 65_536;
const answer = new Uint8Array(LONGEST_DATAGRAM);
const SHOWN_BYTES = 16;

export class UdpProbe implements Probe {
  readonly events = UAPI.POLLIN;
  readonly silence = "no answer";
  readonly #payload: Uint8Array<ArrayBuffer>;
  readonly #expect: Uint8Array;
  #socket: IpSocket | undefined;
  #port = 0;

  constructor(
    private readonly peer: SocketAddress,
    { send, expect }: HealthCheck,
    private readonly ports: SourcePorts,
  ) {
    this.#payload = payloadBytes(send);
    this.#expect = payloadBytes(expect ?? "");
  }

  get fd(): number {
    return this.#socket?.fd ?? -1;
  }

  start(): Outcome | undefined {
    // A second answer to the last check, or news of it: with another port ours, none of that can reach us.
    if (this.#socket?.isQuiet() === false || !this.ports.allows(this.#port)) this.reset();
    if (this.#socket === undefined) {
      this.#socket = IpSocket.udp(this.peer);
      this.#port = this.ports.bind(this.#socket);
      const connected = this.#socket.connect();
      if (connected < 0) return failure("connect", connected);
    }
    const sent = this.#socket.send(this.payload());
    return sent < 0 ? failure("send", sent) : undefined;
  }

  look(): Outcome | undefined {
    const length = this.#socket!.receive(answer);
    if (length === -ERRNO.EAGAIN) return undefined;
    if (length < 0) return failure("recv", length);
    return this.judge(answer.subarray(0, length));
  }

  protected payload(): Uint8Array<ArrayBuffer> {
    return this.#payload;
  }

  /** @returns What an answer says; undefined for one to an earlier check. */
  protected judge(answer: Uint8Array): Outcome | undefined {
    const { length } = answer;
    if (length >= this.#expect.length && this.#expect.every((byte, index) => answer[index] === byte)) {
      return { succeeded: true, reason: "answered" };
    }
    const shown = answer.subarray(0, Math.min(length, SHOWN_BYTES)).toHex();
    return {
      succeeded: false,
      reason: `wrong answer of ${plural(length, "byte")}: ${shown}${length > SHOWN_BYTES ? "..." : ""}`,
    };
  }

  reset(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}

/** Connects and closes: the backend sees a connection that ends in order. */
export class TcpProbe implements Probe {
  readonly events = UAPI.POLLOUT;
  readonly silence = "no connection";
  #socket: IpSocket | undefined;

  constructor(private readonly peer: SocketAddress) {}

  get fd(): number {
    return this.#socket?.fd ?? -1;
  }

  start(): Outcome | undefined {
    this.reset();
    this.#socket = IpSocket.tcp(this.peer);
    const result = this.#socket.connect();
    return result === -ERRNO.EINPROGRESS ? undefined : this.#decided(result);
  }

  look(): Outcome | undefined {
    const error = this.#socket!.takeError();
    if (error < 0) return this.#decided(error);
    // Without an error it is either connected or still under way, which a second connect(2) tells apart.
    const result = this.#socket!.connect();
    return result === -ERRNO.EALREADY ? undefined : this.#decided(result === -ERRNO.EISCONN ? 0 : result);
  }

  #decided(result: number): Outcome {
    this.reset();
    return result < 0 ? failure("connect", result) : { succeeded: true, reason: "connected" };
  }

  reset(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}
