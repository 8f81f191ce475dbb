/**
 * NextHops as a program, since a process is in one network namespace only. It reads requests, a JSON line each, and
 * answers each with one; a line for each change comes in between. Tests use {@linkcode NextHopProcess}.
 *
 * @module
 */
import { type NextHop, NextHops, type NoRoute } from "../../src/backends/next_hop/next_hops.ts";
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
  | { readonly call: "routes" }
  | { readonly call: "lookup" | "why" | "provoke" | "failed"; readonly destination: string };

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
export class NextHopProcess extends AnsweringProcess<Request, "change"> {
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

  /** Opens anew. */
  async open(): Promise<void> {
    await this.ask({ call: "open" });
  }

  lookup(destination: string): Promise<NextHopText | null> {
    return this.ask({ call: "lookup", destination }) as Promise<NextHopText | null>;
  }

  /** Why there is no next hop. */
  noRoute(destination: string): Promise<NoRoute> {
    return this.ask({ call: "why", destination }) as Promise<NoRoute>;
  }

  /** The kernel's routes: `10.11.0.0/24 0`, the last number being the MTU. */
  routes(): Promise<string[]> {
    return this.ask({ call: "routes" }) as Promise<string[]>;
  }

  async provoke(destination: string): Promise<void> {
    await this.ask({ call: "provoke", destination });
  }

  failed(destination: string): Promise<boolean> {
    return this.ask({ call: "failed", destination }) as Promise<boolean>;
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
  await answerRequests((tell: (event: "change") => void) => (request: Request): unknown => {
    if (request.call === "open") {
      nextHops?.[Symbol.dispose]();
      nextHops = NextHops.open({ onChange: () => tell("change") });
      return true;
    }
    if (request.call === "routes") {
      return nextHops!.routes().map(({ address, prefixLength, mtu }) => `${ip(address)}/${prefixLength} ${mtu}`);
    }
    const destination = parseAddress(request.destination);
    const nextHop = nextHops!.lookup(destination);
    if (request.call === "lookup") return nextHop === undefined ? null : asText(nextHop);
    if (request.call === "why") return nextHops!.noRoute;
    if (nextHop === undefined) throw new Error(`There is no route to ${request.destination}`);
    return request.call === "failed"
      ? nextHops!.neighbourFailed(nextHop, destination)
      : nextHops!.provoke(nextHop, destination) ?? true;
  });
  nextHops?.[Symbol.dispose]();
}

if (import.meta.main) await main();
