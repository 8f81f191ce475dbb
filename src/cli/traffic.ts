/**
 * `xdpsteer traffic`: the sender of the demo, as a process of its own, since a process is in one network namespace.
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
  readonly packetsPerFlow: number;
  readonly ratePps: number;
}

/** What is printed at the end, as one line of JSON. */
export interface TrafficReport {
  readonly sentPerPort: Readonly<Record<string, number>>;
  readonly elapsedMs: number;
}

export async function traffic({ json }: { json: string }): Promise<void> {
  const { sentPerPort, elapsedMs } = await carryOut(json);
  printJson({ sentPerPort: Object.fromEntries(sentPerPort), elapsedMs: roundMs(elapsedMs) } satisfies TrafficReport);
}

/** The order comes from the demo, but anybody may type one. @throws {SteerError} */
async function carryOut(json: string): ReturnType<typeof sendFlows> {
  try {
    return await sendFlows(JSON.parse(json) as TrafficOrder);
  } catch (error) {
    if (error instanceof SteerError) throw error;
    throw new SteerError(`The order cannot be carried out: ${messageOf(error)}`, {
      cause: error,
      exitCode: EXIT.usage,
    });
  }
}
