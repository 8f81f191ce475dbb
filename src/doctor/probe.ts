/**
 * What the driver can do, by trying it: a program that passes every packet is attached for a moment, and a socket bound
 * to one queue, exactly as a start would. Some drivers reset their rings for either, so this is for interfaces that
 * were named only.
 *
 * @module
 */
import { type AttachMode, XdpLink } from "../bpf/link.ts";
import type { InterfaceConfig } from "../config/schema.ts";
import { SteerError, SyscallError } from "../errors.ts";
import { interfaceIndex } from "../ffi/libc.ts";
import { PassProgram } from "../ffi/pass_program.ts";
import { ChunkExchange, createQueueState } from "../xsk/chunks.ts";
import { consumerRing, producerRing } from "../xsk/rings.ts";
import { OwnerSocket } from "../xsk/socket.ts";
import { Umem } from "../xsk/umem.ts";
import { ok, problem, type Verdict, warning } from "../host/question.ts";
import { type Finding, finding } from "./finding.ts";
import { driverOf } from "../host/rx_queues.ts";
import { keepsQueuesBack } from "./interface.ts";

export const NATIVE = { check: "interface.native_xdp", explains: ["EINVAL", "EOPNOTSUPP", "ERANGE"] } as const;
const SOCKET = { check: "interface.zero_copy", explains: ["EBUSY", "EINVAL", "EOPNOTSUPP", "ENOMEM"] } as const;

/** As small as a driver takes; all chunks go to the fill ring, so that packets of this moment find one. */
const CHUNKS = 2048;
const RINGS = { rx: 64, tx: 64, fill: CHUNKS, completion: 64 } as const;

/** Tries native XDP and a socket on an interface that is up and has no program attached. Leaves it as it was. */
export async function probeInterface(config: InterfaceConfig): Promise<Finding[]> {
  using program = PassProgram.load();
  const findings: Finding[] = [];
  const say = (part: Pick<Finding, "check" | "explains">, verdict: Verdict): void =>
    void findings.push(finding({ ...part, interface: config.name }, verdict));
  const risky = keepsQueuesBack(config.name); // now: once a program is attached it does not show
  let link: XdpLink | undefined;
  if (config.attach !== "generic") {
    const native = attach(program, config, "native");
    if (native instanceof XdpLink) link = native;
    say(NATIVE, link === undefined ? noNative(config, native as SteerError) : ok("the driver has native XDP"));
    if (link === undefined && config.attach === "native") return findings;
  }
  if (link === undefined) {
    const generic = attach(program, config, "generic");
    if (generic instanceof SteerError) {
      say({ check: "interface.generic_xdp", explains: NATIVE.explains }, problem(generic.message, generic.hint));
      return findings;
    }
    link = generic;
    if (config.attach === "generic") {
      say(NATIVE, ok("native XDP was not tried: the configuration says attach: generic"));
    }
  }
  try {
    say(SOCKET, await bindSocket(config, link.granted, risky));
  } finally {
    link.close();
  }
  return findings;
}

function attach(program: PassProgram, { name }: InterfaceConfig, mode: AttachMode): XdpLink | SteerError {
  try {
    return XdpLink.attach(program.fd, interfaceIndex(name), name, mode);
  } catch (error) {
    if (error instanceof SteerError) return error;
    throw error;
  }
}

function noNative({ name, attach }: InterfaceConfig, error: SteerError): Verdict {
  const code = error.cause instanceof SyscallError ? error.cause.code : "";
  const text = `no native XDP (${code || error.message})`;
  const fix = code !== "ERANGE"
    ? "attach: generic"
    : driverOf(name) === "veth"
    ? "ip link set dev PEER mtu 1500, where the other end of the veth is"
    : `ip link set dev ${name} mtu 1500`;
  if (attach === "native") return problem(`${text}, and the configuration says attach: native`, fix);
  return warning(`${text}: it will be attached in generic mode, several times slower and without zero-copy`, fix);
}

async function bindSocket(config: InterfaceConfig, granted: AttachMode, risky: boolean): Promise<Verdict> {
  const { name, queues, umem: { chunkSize, headroom }, zeroCopy } = config;
  const queue = queues === "all" ? 0 : queues[0]!;
  const where = `queue ${queue}`;
  if (zeroCopy === "require" && granted === "generic") {
    return problem("no zero-copy in generic mode, and the configuration says zero_copy: require", "zero_copy: auto");
  }
  const allowed = granted === "generic" || risky ? "off" : zeroCopy;
  using umem = new Umem({ chunks: CHUNKS, chunkSize, headroom });
  try {
    const options = { interfaceName: name, ifindex: interfaceIndex(name), queue, rings: RINGS, zeroCopy: allowed };
    using socket = new OwnerSocket(options, umem);
    const { fill, completion } = socket.queueRings;
    const state = createQueueState(CHUNKS);
    new ChunkExchange(state, producerRing(fill), consumerRing(completion), chunkSize, CHUNKS).seed();
    await socket.bind();
    if (socket.zeroCopy) return ok(`AF_XDP on ${where}, with zero-copy`);
    return ok(`AF_XDP on ${where}; packets are copied: ${whyCopied(granted, zeroCopy, risky)}`);
  } catch (error) {
    if (!(error instanceof SteerError)) throw error;
    return problem(error.message, zeroCopy === "require" ? "zero_copy: auto" : error.hint);
  }
}

function whyCopied(granted: AttachMode, asked: InterfaceConfig["zeroCopy"], risky: boolean): string {
  if (granted === "generic") return "generic mode has no zero-copy";
  if (asked === "off") return "the configuration says zero_copy: off";
  return risky ? "zero-copy was not tried with queue pairs kept back" : "the driver has no zero-copy";
}
