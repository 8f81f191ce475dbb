/**
 * `xdpsteer traffic`: the sender of the demo, as a process of its own, since a process is in one network namespace.
 *
 * @module
 */
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
  const { sentPerPort, elapsedMs } = await sendFlows(JSON.parse(json) as TrafficOrder);
  printJson({ sentPerPort: Object.fromEntries(sentPerPort), elapsedMs: roundMs(elapsedMs) } satisfies TrafficReport);
}
