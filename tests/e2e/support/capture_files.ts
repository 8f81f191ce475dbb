/**
 * Capture files as the field's own programs read them, and their blocks as the draft has them.
 *
 * @module
 */
import assert from "node:assert/strict";

export interface CapturedPacket {
  readonly interface: string;
  readonly queue: number;
  /** in or out. */
  readonly direction: string;
  /** Nanoseconds since 1970. */
  readonly time: bigint;
  readonly captured: number;
  readonly length: number;
  readonly sourcePort: number;
  /** Address and port; of IPv6 the port alone. */
  readonly destination: string;
  readonly payload: Uint8Array;
  /** What tshark says of the checksums of IP and UDP. */
  readonly checksums: string;
}

const FIELDS = [
  "frame.interface_name",
  "frame.interface_queue",
  "frame.packet_flags_direction",
  "frame.time_epoch",
  "frame.cap_len",
  "frame.len",
  "udp.srcport",
  "udp.payload",
  "ip.dst",
  "udp.dstport",
  "ip.checksum.status",
  "udp.checksum.status",
];
/** Of an IP version 6 packet, the header has none. */
const GOOD = ["1", ""];
const DIRECTIONS: Readonly<Record<string, string>> = { "0x00000001": "in", "0x00000002": "out" };
const BLOCK = { statistics: 5, packet: 6 } as const;
const DROPPED = 5;

async function output(program: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args: [...args], stdin: "null" }).output();
  const decoder = new TextDecoder();
  const complaint = decoder.decode(stderr).replace(/^Running as user "root".*\n/m, "");
  assert.deepEqual({ code, complaint }, { code: 0, complaint: "" }, `${program} ${args.join(" ")}`);
  return decoder.decode(stdout);
}

/** Every packet of a file, by tshark, which must have nothing to complain of. */
export async function readPackets(file: string): Promise<CapturedPacket[]> {
  const options = ["udp.check_checksum:TRUE", "ip.check_checksum:TRUE"].flatMap((option) => ["-o", option]);
  const fields = FIELDS.flatMap((field) => ["-e", field]);
  const text = await output("tshark", ["-n", "-r", file, ...options, "-T", "fields", ...fields]);
  return text.split("\n").slice(0, -1).map((line) => {
    const [name, queue, direction, time, captured, length, sourcePort, payload, destination, port, ip, udp] = line
      .split("\t");
    const [seconds, fraction] = time!.split(".");
    return {
      interface: name!,
      queue: Number(queue),
      direction: DIRECTIONS[direction!] ?? direction!,
      time: BigInt(seconds!) * 1_000_000_000n + BigInt(fraction!),
      captured: Number(captured),
      length: Number(length),
      sourcePort: Number(sourcePort),
      destination: `${destination}:${port}`,
      payload: Uint8Array.from(payload!.match(/../g) ?? [], (hex) => parseInt(hex, 16)),
      checksums: GOOD.includes(ip!) && GOOD.includes(udp!) ? "good" : `ip ${ip}, udp ${udp}`,
    };
  });
}

/** The sequence number that the traffic sources put in front of the payload. */
export function sequenceOf({ payload }: CapturedPacket): number {
  return Number(new DataView(payload.buffer).getBigUint64(0));
}

/** The numbers of each flow's packets, in the order of the file, by source port. */
export function sequencesByFlow(packets: readonly CapturedPacket[]): Map<number, number[]> {
  const flows = new Map<number, number[]>();
  for (const packet of packets) {
    const flow = flows.get(packet.sourcePort);
    if (flow === undefined) flows.set(packet.sourcePort, [sequenceOf(packet)]);
    else flow.push(sequenceOf(packet));
  }
  return flows;
}

export interface Section {
  readonly packets: number;
  /** By the counts at its end, of all interfaces; null for a file that was not finished. */
  readonly dropped: number | null;
}

/** Walks the blocks of a file, whose lengths have to fit to its very end. */
export async function readBlocks(file: string): Promise<Section> {
  const bytes = await Deno.readFile(file);
  const view = new DataView(bytes.buffer);
  let packets = 0;
  let dropped: number | null = null;
  let at = 0;
  while (at < bytes.length) {
    const length = view.getUint32(at + 4, true);
    assert.equal(view.getUint32(at + length - 4, true), length, `the block at ${at} of ${file} has one length`);
    const type = view.getUint32(at, true);
    if (type === BLOCK.packet) packets++;
    if (type === BLOCK.statistics) {
      for (let option = at + 20; view.getUint16(option, true) !== 0;) {
        const size = view.getUint16(option + 2, true);
        if (view.getUint16(option, true) === DROPPED) {
          dropped = (dropped ?? 0) + Number(view.getBigUint64(option + 4, true));
        }
        option += 4 + ((size + 3) & ~3);
      }
    }
    at += length;
  }
  assert.equal(at, bytes.length);
  return { packets, dropped };
}

/** What capinfos says, by its words. */
export async function about(file: string): Promise<Map<string, string>> {
  const text = await output("capinfos", ["-M", file]);
  return new Map(
    text.split("\n").map((line) => line.split(/:\s+/, 2) as [string, string]).filter(([, value]) => value),
  );
}
