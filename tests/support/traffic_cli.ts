/**
 * The traffic sources as a program, since a process is in one network namespace only:
 *
 *     deno run -A tests/support/traffic_cli.ts live|udp --json '{"ports": [7777], ...}'
 *
 * prints one JSON line that says what was sent. SIGTERM ends the sending early; the line is printed all the same.
 * Tests call {@linkcode runTraffic}.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { interfaceIndex } from "../../src/ffi/libc.ts";
import { LiveFrames, type LiveFramesOptions } from "../../src/traffic/live_frames.ts";
import { sendFlows, type UdpFlowsOptions } from "../../src/traffic/udp_flows.ts";
import { INTERFACES, IPV4, IPV6, MACS, type Side, type TestNetwork } from "./netns.ts";

/**
 * What `live` takes: as {@linkcode LiveFramesOptions}, from the client to the steer namespace where nothing is said.
 */
export type LiveTraffic =
  & Partial<Omit<LiveFramesOptions, "ifindex">>
  & Pick<LiveFramesOptions, "ports">
  & {
    readonly count: number;
    /** Which family the default addresses are of. */
    readonly ipv6?: boolean;
    /** CPUs that take turns, {@linkcode SLICE_MS} or so each: on a veth, the receiver's queues. */
    readonly cpus?: readonly number[];
  };

/** What `udp` takes: as {@linkcode UdpFlowsOptions}, to the steer namespace where nothing is said. */
export type UdpTraffic = Omit<UdpFlowsOptions, "signal" | "address"> & { readonly address?: string };

export interface TrafficReport {
  readonly sent: number;
  /** Keyed by destination port in decimal. */
  readonly sentPerPort: Readonly<Record<string, number>>;
  /** `udp` only. */
  readonly replies: number;
  readonly repliesPerPort: Readonly<Record<string, number>>;
  readonly elapsedMs: number;
}

export interface RunTrafficOptions {
  /** Where the sender is. Default client. */
  readonly from?: Side;
  /** Ends the sending early. */
  readonly signal?: AbortSignal;
}

/** Runs a traffic source in a namespace to its end. */
export function runTraffic(
  network: TestNetwork,
  kind: "live",
  traffic: LiveTraffic,
  options?: RunTrafficOptions,
): Promise<TrafficReport>;
export function runTraffic(
  network: TestNetwork,
  kind: "udp",
  traffic: UdpTraffic,
  options?: RunTrafficOptions,
): Promise<TrafficReport>;
export async function runTraffic(
  network: TestNetwork,
  kind: "live" | "udp",
  traffic: LiveTraffic | UdpTraffic,
  { from = "client", signal }: RunTrafficOptions = {},
): Promise<TrafficReport> {
  const argv = [Deno.execPath(), "run", "-A", import.meta.filename!, kind, "--json", JSON.stringify(traffic)];
  signal?.throwIfAborted();
  const child = network.spawn(from, argv);
  const stop = (): void => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
  };
  signal?.addEventListener("abort", stop);
  const { success, stdout, stderr } = await child.output();
  signal?.removeEventListener("abort", stop);
  if (!success) throw new Error(`The ${kind} traffic source failed: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** How long one call of the live source may take: a signal is noticed between two. */
const SLICE_MS = 250;
/** Frames of a slice where no rate is given. */
const SLICE_FRAMES = 1 << 18;

/** Loads the source of live frames, in the client's namespace. */
export function loadLive(traffic: Omit<LiveTraffic, "count">): Promise<LiveFrames> {
  const { cpus: _, ipv6 = false, ...rest } = traffic;
  const addresses = ipv6 ? IPV6 : IPV4;
  return LiveFrames.load({
    ifindex: interfaceIndex(INTERFACES.client),
    source: { mac: MACS.client, address: addresses.client },
    destination: { mac: MACS.steer, address: addresses.steer },
    ...rest,
  });
}

async function sendLive(traffic: LiveTraffic, signal: AbortSignal): Promise<TrafficReport> {
  const { count, cpus = [], ...rest } = traffic;
  using frames = await loadLive(rest);
  const slice = rest.ratePps === undefined ? SLICE_FRAMES : Math.ceil(rest.ratePps * SLICE_MS / 1000);
  const start = performance.now();
  let sent = 0;
  for (let turn = 0; sent < count && !signal.aborted; turn++) {
    sent += frames.send(Math.min(slice, count - sent), cpus[turn % cpus.length]);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const elapsedMs = performance.now() - start;
  const sentPerPort = Object.fromEntries(frames.sentPerPort());
  return { sent, sentPerPort, replies: 0, repliesPerPort: {}, elapsedMs };
}

async function sendUdp(traffic: UdpTraffic, signal: AbortSignal): Promise<TrafficReport> {
  const result = await sendFlows({ address: IPV4.steer, ...traffic, signal });
  return {
    ...result,
    sentPerPort: Object.fromEntries(result.sentPerPort),
    repliesPerPort: Object.fromEntries(result.repliesPerPort),
  };
}

async function main(): Promise<void> {
  const { positionals: [kind], values } = parseArgs({ allowPositionals: true, options: { json: { type: "string" } } });
  if ((kind !== "live" && kind !== "udp") || values.json === undefined) {
    throw new TypeError("Usage: traffic_cli.ts live|udp --json '{\"ports\": [7777], ...}'");
  }
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  Deno.addSignalListener("SIGTERM", onSignal);
  const send = kind === "live" ? sendLive : sendUdp;
  // deno-lint-ignore no-console -- this is a program, and the line is its answer
  console.log(JSON.stringify(await send(JSON.parse(values.json), stop.signal)));
  Deno.removeSignalListener("SIGTERM", onSignal);
}

if (import.meta.main) await main();
