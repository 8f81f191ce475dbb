/**
 * What the tests of captures share: traffic to one port, and what the appliance says of it.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { CaptureStatus } from "../../../src/capture/captures.ts";
import type { TestNetwork } from "../../support/netns.ts";
import { runTraffic, type TrafficReport, type UdpTraffic } from "../../support/traffic_cli.ts";
import type { Appliance, Status } from "./appliance.ts";

export const PORT = 7777;
/** A veth hands packets on before their checksum is filled in; from a wire they come with it. */
export const WIRE = { checksumOffload: false };

export function captureOf(status: Status, rule: string): CaptureStatus {
  const found = status.captures.find((capture) => capture.rule === rule);
  assert.ok(found, `nothing is captured for rule "${rule}": ${JSON.stringify(status.captures)}`);
  return found;
}

/** Waits until what was to be captured is in a file or counted as dropped. */
export async function written(box: Appliance, rule: string, packets: number): Promise<CaptureStatus> {
  const status = await box.untilStatus(`${packets} captured packets`, (status) => {
    const { written, dropped } = captureOf(status, rule);
    return written + dropped >= packets;
  });
  const capture = captureOf(status, rule);
  assert.equal(capture.written + capture.dropped, packets);
  return capture;
}

/** Ends it as a service manager does; what it has captured is in files then. */
export async function end(box: Appliance): Promise<void> {
  box.signal("SIGTERM");
  assert.equal((await box.ended()).code, 0, box.stderr);
}

export function send(network: TestNetwork, traffic: Partial<UdpTraffic>): Promise<TrafficReport> {
  return runTraffic(network, "udp", { ports: [PORT], packetsPerFlow: 100, ratePps: 5000, ...traffic });
}

/** Whole numbers from `from` to below `to`. */
export const count = (from: number, to: number, step = 1): number[] =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);

/** The name of a finished file. */
export const nameOf = (file: string, number: number): string => file.replace(/pcapng$/, `${number}.pcapng`);
