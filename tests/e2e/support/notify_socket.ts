/**
 * The service manager's end of sd_notify(3): a datagram socket, and every message that came to it.
 *
 * @module
 */
import type { TestNetwork } from "../../support/netns.ts";
import { LinePrinter } from "./line_printer.ts";
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
  private constructor(private readonly receiver: LinePrinter) {}

  /** @param name What NOTIFY_SOCKET is to be: a path, or "@" and an abstract name. */
  static async open(network: TestNetwork, name: string): Promise<NotifySocket> {
    // In the appliance's own network namespace: abstract names belong to one.
    const argv = ["/usr/bin/python3", "-c", RECEIVER, name];
    return new NotifySocket(await LinePrinter.start(network, argv, `a socket at ${name}`));
  }

  /** Everything so far, oldest first. */
  get received(): Notification[] {
    return this.receiver.lines.map((line) => JSON.parse(line));
  }

  /** Everything but the beats. Readiness and the status that follows it are one: it counts when both have come. */
  get news(): Notification[] {
    const news: Notification[] = [];
    let ready: Notification | undefined;
    for (const message of this.received) {
      const keys = Object.keys(message.fields).join();
      if (keys === "READY") ready = message;
      else if (keys === "STATUS" && message.pid === ready?.pid) {
        news.push({ ...message, fields: { ...ready.fields, ...message.fields } });
        ready = undefined;
      } else if (keys !== "WATCHDOG") news.push(message);
    }
    return news;
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.receiver[Symbol.asyncDispose]();
  }
}
