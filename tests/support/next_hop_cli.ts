/**
 * NextHops as a program, since a process is in one network namespace only. It reads requests, a JSON line each, and
 * answers each with one; a line for each change comes in between. Tests use {@linkcode NextHopProcess}.
 *
 * @module
 */
import { monotonicMicroseconds } from "../../src/ffi/libc.ts";
import { type NextHop, NextHops } from "../../src/backends/next_hop/next_hops.ts";
import { parseAddress } from "../../src/packet/address.ts";
import { AnsweringProcess, answerRequests } from "./answering_process.ts";
import { type SpawnOptions, type TestNetwork } from "./netns.ts";

/** A next hop with its bytes as text. */
export type NextHopText = Omit<NextHop, "source" | "sourceMac" | "gateway" | "mac"> & {
  readonly source: string;
  readonly sourceMac: string;
  readonly gateway: string | null;
  readonly mac: string | null;
};

type Request =
  | { readonly call: "open" }
  | { readonly call: "lookup" | "provoke" | "failed"; readonly destination: string }
  /** Looks up again and again, for the mean time of one in microseconds. */
  | { readonly call: "time"; readonly destination: string; readonly times: number };

const nowUs = (): number => Number(monotonicMicroseconds());
const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
const ip = (bytes: Uint8Array): string =>
  bytes.length === 4
    ? bytes.join(".")
    : new URL(`http://[${hex(bytes).replace(/(..):(..)/g, "$1$2")}]`).hostname.slice(1, -1);

function asText(nextHop: NextHop): NextHopText {
  return {
    ...nextHop,
    source: ip(nextHop.source),
    sourceMac: hex(nextHop.sourceMac),
    gateway: nextHop.gateway && ip(nextHop.gateway),
    mac: nextHop.mac && hex(nextHop.mac),
  };
}

/** The program, run in the steer namespace. */
export class NextHopProcess extends AnsweringProcess<Request, number> {
  private constructor(child: Deno.ChildProcess) {
    super(child);
  }

  /** @param wrapper Runs it: `setpriv` and its options. */
  static async start(network: TestNetwork, wrapper: readonly string[] = []): Promise<NextHopProcess> {
    const options: SpawnOptions = { stdin: "piped", stderr: "inherit" };
    const argv = [...wrapper, Deno.execPath(), "run", "--quiet", "--no-check", "-A", import.meta.filename!];
    const process = new NextHopProcess(network.spawn("steer", argv, options));
    await process.open();
    return process;
  }

  /** Opens anew. @returns Milliseconds it took. */
  open(): Promise<number> {
    return this.ask({ call: "open" }) as Promise<number>;
  }

  lookup(destination: string): Promise<NextHopText | null> {
    return this.ask({ call: "lookup", destination }) as Promise<NextHopText | null>;
  }

  async provoke(destination: string): Promise<void> {
    await this.ask({ call: "provoke", destination });
  }

  failed(destination: string): Promise<boolean> {
    return this.ask({ call: "failed", destination }) as Promise<boolean>;
  }

  timeUs(destination: string, times: number): Promise<number> {
    return this.ask({ call: "time", destination, times }) as Promise<number>;
  }

  /** Stops it, so that it reads nothing, until it is resumed. */
  pause(): void {
    this.child.kill("SIGSTOP");
  }

  resume(): void {
    this.child.kill("SIGCONT");
  }

  /** Ends it by disposing of its NextHops only. @returns Its exit code. */
  end(): Promise<number> {
    return this.close();
  }
}

async function main(): Promise<void> {
  let nextHops: NextHops | undefined;
  await answerRequests((tell: (changedAtUs: number) => void) => (request: Request): unknown => {
    if (request.call === "open") {
      nextHops?.[Symbol.dispose]();
      const start = nowUs();
      nextHops = NextHops.open({ onChange: () => tell(nowUs()) });
      return (nowUs() - start) / 1000;
    }
    const destination = parseAddress(request.destination);
    if (request.call === "time") {
      const start = nowUs();
      for (let left = request.times; left > 0; left--) nextHops!.lookup(destination);
      return (nowUs() - start) / request.times;
    }
    const nextHop = nextHops!.lookup(destination);
    if (request.call === "lookup") return nextHop === undefined ? null : asText(nextHop);
    if (nextHop === undefined) throw new Error(`There is no route to ${request.destination}`);
    return request.call === "failed"
      ? nextHops!.neighbourFailed(nextHop, destination)
      : nextHops!.provoke(nextHop, destination) ?? true;
  });
  nextHops?.[Symbol.dispose]();
}

if (import.meta.main) await main();
