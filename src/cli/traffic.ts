/**
 * `xdpsteer traffic`: the sender of the demo, as a process of its own, since a process is in one network namespace.
 * It sends what it is granted: each line of its input is the number of packets that it may have sent, counted from the
 * start. It ends when its input ends.
 *
 * @module
 */
import { EXIT, messageOf, SteerError } from "../errors.ts";
import { sendFlows } from "../traffic/udp_flows.ts";
import { roundMs } from "../text.ts";
import { printJson } from "./output.ts";

/** What `--json` takes. */
export interface TrafficOrder {
  readonly address: string;
  readonly ports: readonly number[];
  readonly flows: number;
  /** At most. */
  readonly ratePps: number;
}

/** What is printed at the end, as one line of JSON. */
export interface TrafficReport {
  readonly sentPerPort: Readonly<Record<string, number>>;
  readonly elapsedMs: number;
}

export async function traffic({ json }: { json: string }): Promise<void> {
  const ended = new AbortController();
  let granted = 0;
  const reading = readNumbers((number) => granted = number).finally(() => ended.abort());
  const { sentPerPort, elapsedMs } = await carryOut(json, () => granted, ended.signal);
  await reading;
  printJson({ sentPerPort: Object.fromEntries(sentPerPort), elapsedMs: roundMs(elapsedMs) } satisfies TrafficReport);
}

/** The order comes from the demo, but anybody may type one. @throws {SteerError} */
async function carryOut(json: string, granted: () => number, signal: AbortSignal): ReturnType<typeof sendFlows> {
  try {
    return await sendFlows({ ...JSON.parse(json) as TrafficOrder, packetsPerFlow: Infinity, granted, signal });
  } catch (error) {
    if (error instanceof SteerError) throw error;
    throw new SteerError(`The order cannot be carried out: ${messageOf(error)}`, {
      cause: error,
      exitCode: EXIT.usage,
    });
  }
}

/** Reads standard input to its end, a number on each line. */
async function readNumbers(take: (number: number) => void): Promise<void> {
  let rest = "";
  for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split("\n");
    rest = lines.pop()!;
    if (lines.length > 0) take(Number(lines.at(-1)));
  }
}
