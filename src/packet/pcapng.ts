/**
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), in little-endian order: pure functions over bytes. Times are
 * nanoseconds since 1970, packets are Ethernet frames without their checksum.
 *
 * @module
 */

/** Ethernet. */
const LINKTYPE_ETHERNET = 1;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** 10^-9 s. */
const NANOSECONDS = 9;

const BLOCK = { interface: 1, statistics: 5, packet: 6, section: 0x0a0d0d0a } as const;
const SHB = { hardware: 2, os: 3, userappl: 4 } as const;
const IDB = { name: 2, tsresol: 9 } as const;
const EPB = { flags: 2, queue: 6 } as const;
const ISB = { starttime: 2, endtime: 3, ifdrop: 5, usrdeliv: 8 } as const;

/** Which way a packet went, as epb_flags has it. */
export const DIRECTION = { in: 1, out: 2 } as const;

/** A moment in time: whole seconds since 1970, and nanoseconds on top. */
export interface Moment {
  readonly seconds: number;
  readonly nanoseconds: number;
}

type Option = readonly [code: number, value: Uint8Array];

const encoder = new TextEncoder();
/** Longest text of an option, in bytes. */
const MAX_TEXT_BYTES = 65_532;

/** Where a section begins, and what wrote it on what. */
export function sectionHeader(about: Readonly<Record<keyof typeof SHB, string>>): Uint8Array<ArrayBuffer> {
  const head = new DataView(new ArrayBuffer(16));
  head.setUint32(0, BYTE_ORDER_MAGIC, true);
  head.setUint16(4, 1, true); // version 1.0
  head.setBigInt64(8, -1n, true); // a length that nobody knows yet
  return block(BLOCK.section, head, [
    [SHB.hardware, text(about.hardware)],
    [SHB.os, text(about.os)],
    [SHB.userappl, text(about.userappl)],
  ]);
}

/** Bytes of the longest section header that {@linkcode sectionApplication} looks through. */
export const SECTION_BYTES = 1024;

/** What wrote the file that begins with these bytes: `userappl` of its section header. Undefined where that is none. */
export function sectionApplication(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 28 || view.getUint32(0, true) !== BLOCK.section) return undefined;
  if (view.getUint32(8, true) !== BYTE_ORDER_MAGIC) return undefined; // not of this byte order
  const end = Math.min(view.getUint32(4, true) - 4, bytes.length);
  for (let at = 24; at + 4 <= end;) {
    const [code, length] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    if (at + 4 + length > end) return undefined;
    if (code === SHB.userappl) return new TextDecoder().decode(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + ((length + 3) & ~3);
  }
  return undefined;
}

/** An interface; packets refer to it by its place among these blocks. `snapLength` is in bytes. */
export function interfaceDescription(name: string, snapLength: number): Uint8Array<ArrayBuffer> {
  const head = new DataView(new ArrayBuffer(8));
  head.setUint16(0, LINKTYPE_ETHERNET, true);
  head.setUint32(4, snapLength, true);
  return block(BLOCK.interface, head, [[IDB.name, text(name)], [IDB.tsresol, Uint8Array.of(NANOSECONDS)]]);
}

/** What {@linkcode interfaceStatistics} tells of one interface. */
export interface CaptureStatistics {
  readonly start: Moment;
  readonly end: Moment;
  /** Packets that should be in the file and are not. */
  readonly dropped: number;
  readonly written: number;
}

/** The counts of one interface, as of `end`. Its blocks all have the length {@linkcode STATISTICS_BYTES}. */
export function interfaceStatistics(
  networkInterface: number,
  { start, end, dropped, written }: CaptureStatistics,
): Uint8Array<ArrayBuffer> {
  const head = new DataView(new ArrayBuffer(12));
  head.setUint32(0, networkInterface, true);
  writeTime(head, 4, end.seconds, end.nanoseconds);
  return block(BLOCK.statistics, head, [
    [ISB.starttime, time(start)],
    [ISB.endtime, time(end)],
    [ISB.ifdrop, count(dropped)],
    [ISB.usrdeliv, count(written)],
  ]);
}

/** Of one block of {@linkcode interfaceStatistics}: 12 of frame, 12 of head, four options of 12, the end of options. */
export const STATISTICS_BYTES = 12 + 12 + 4 * 12 + 4;

/** Bytes of a packet block before the packet. */
export const PACKET_AT = 28;
/** After it: flags, queue, end of options, length. */
const PACKET_TAIL = 8 + 8 + 4 + 4;

/** Bytes of the block for a packet of which so many bytes are kept. */
export function packetBlockBytes(captured: number): number {
  return PACKET_AT + ((captured + 3) & ~3) + PACKET_TAIL;
}

/**
 * Writes a packet block around a packet that stands, or will stand, at `at + PACKET_AT`, filled up with zeros to a
 * whole word.
 *
 * @param captured Bytes that are kept, of `length`.
 * @param direction One of {@linkcode DIRECTION}.
 * @param queue Of the interface.
 * @returns Bytes of the block.
 */
export function writePacketBlock(
  view: DataView,
  at: number,
  networkInterface: number,
  queue: number,
  direction: number,
  seconds: number,
  nanoseconds: number,
  captured: number,
  length: number,
): number {
  const bytes = packetBlockBytes(captured);
  view.setUint32(at, BLOCK.packet, true);
  view.setUint32(at + 4, bytes, true);
  view.setUint32(at + 8, networkInterface, true);
  writeTime(view, at + 12, seconds, nanoseconds);
  view.setUint32(at + 20, captured, true);
  view.setUint32(at + 24, length, true);
  const tail = at + bytes - PACKET_TAIL;
  view.setUint16(tail, EPB.flags, true);
  view.setUint16(tail + 2, 4, true);
  view.setUint32(tail + 4, direction, true);
  view.setUint16(tail + 8, EPB.queue, true);
  view.setUint16(tail + 10, 4, true);
  view.setUint32(tail + 12, queue, true);
  view.setUint32(tail + 16, 0, true); // end of options
  view.setUint32(tail + 20, bytes, true);
  return bytes;
}

/** Nanoseconds since 1970 as two words, the upper one first. They do not fit a double, so halves are multiplied. */
function writeTime(view: DataView, at: number, seconds: number, nanoseconds: number): void {
  const upper = Math.floor(seconds / 65_536) * 1e9;
  const rest = (upper % 65_536) * 65_536 + (seconds % 65_536) * 1e9 + nanoseconds;
  view.setUint32(at, Math.floor(upper / 65_536) + Math.floor(rest / 0x1_0000_0000), true);
  view.setUint32(at + 4, rest % 0x1_0000_0000, true);
}

function time({ seconds, nanoseconds }: Moment): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  writeTime(view, 0, seconds, nanoseconds);
  return new Uint8Array(view.buffer);
}

function count(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(value), true);
  return new Uint8Array(view.buffer);
}

function text(value: string): Uint8Array {
  return encoder.encode(value).subarray(0, MAX_TEXT_BYTES);
}

function block(type: number, head: DataView<ArrayBuffer>, options: readonly Option[]): Uint8Array<ArrayBuffer> {
  const padded = (bytes: number): number => (bytes + 3) & ~3;
  const optionBytes = options.reduce((sum, [, value]) => sum + 4 + padded(value.length), 4);
  const bytes = 12 + head.byteLength + optionBytes;
  const view = new DataView(new ArrayBuffer(bytes));
  const whole = new Uint8Array(view.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, bytes, true);
  whole.set(new Uint8Array(head.buffer), 8);
  let at = 8 + head.byteLength;
  for (const [code, value] of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    whole.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  view.setUint32(bytes - 4, bytes, true); // the end of options before it is zero
  return whole;
}
