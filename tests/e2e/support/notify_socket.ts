/**
 * The service manager's end of sd_notify(3): a datagram socket, and every message that came to it.
 *
 * @module
 */
import type { TestNetwork } from "../../support/netns.ts";
import { until } from "./wait.ts";

/** Notifications as the kernel vouches for them. */
export interface Notification {
  readonly fields: Readonly<Record<string, string>>;
  /** Process that sent it. */
  readonly pid: number;
  /** CLOCK_MONOTONIC when it was read. */
  readonly atUsec: number;
}

const RECEIVER = `
import json, socket, struct, sys, time
name = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
receiver.bind("\\0" + name[1:] if name.startswith("@") else name)
print("ready", flush=True)
while True:
    data, control, _, _ = receiver.recvmsg(65536, 1024)
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    pid = struct.unpack("3i", control[0][2][:12])[0]
    fields = dict(line.split("=", 1) for line in data.decode().split("\\n"))
    print(json.dumps({"fields": fields, "pid": pid, "atUsec": now}), flush=True)
`;

export class NotifySocket implements AsyncDisposable {
  #output = "";
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;

  private constructor(network: TestNetwork, name: string) {
    // In the appliance's own network namespace: abstract names belong to one.
    this.#child = network.spawn("steer", ["/usr/bin/python3", "-c", RECEIVER, name], { stderr: "inherit" });
    this.#reading = this.#read();
  }

  /** @param name What NOTIFY_SOCKET is to be: a path, or "@" and an abstract name. */
  static async open(network: TestNetwork, name: string): Promise<NotifySocket> {
    const socket = new NotifySocket(network, name);
    try {
      await until(`a socket at ${name}`, () => socket.#output.startsWith("ready\n"));
      return socket;
    } catch (error) {
      await socket[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Everything so far, oldest first. */
  get received(): Notification[] {
    return this.#output.split("\n").slice(1, -1).map((line) => JSON.parse(line));
  }

  /** Everything but the beats. */
  get news(): Notification[] {
    return this.received.filter(({ fields }) => fields.WATCHDOG === undefined);
  }

  get beats(): Notification[] {
    return this.received.filter(({ fields }) => fields.WATCHDOG === "1");
  }

  /** Waits until there are `count` messages that are no beats. @returns them. */
  untilNews(count: number): Promise<Notification[]> {
    return until(`${count} notifications`, () => this.news.length >= count && this.news, {
      describe: () => this.received,
    });
  }

  async #read(): Promise<void> {
    for await (const part of this.#child.stdout.pipeThrough(new TextDecoderStream())) this.#output += part;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#reading;
  }
}
