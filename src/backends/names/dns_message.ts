/**
 * Answers of DNS servers as bytes: whether they can be believed, and what they say of a name.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import packet from "dns-packet";
import type { Answer, RecordType, Service } from "./answer.ts";

/** What dns-packet makes of bytes, as far as it is used here. */
export interface Message {
  readonly id: number;
  readonly type: string;
  readonly rcode: string;
  readonly flag_tc: boolean;
  readonly questions: readonly { readonly type: string; readonly name: string }[];
  readonly answers: readonly Record[];
  readonly authorities: readonly Record[];
}

interface Record {
  readonly name: string;
  readonly type: string;
  readonly class?: string;
  readonly ttl?: number;
  readonly data: unknown;
}

const HEADER_BYTES = 12;
const FLAGS_AT = 2;
const TRUNCATED = 0x0200;
const QUESTIONS_AT = 4;
/** Numbers of answers, authorities and others. */
const RECORDS_AT = [6, 8, 10];
/** Type and class behind the name of a question. */
const QUESTION_BYTES = 4;
/** The same, the TTL, and the length of what follows. */
const RECORD_BYTES = 10;
const POINTER = 0xc0;
/** Of what has one length. */
const DATA_BYTES = new Map([[1, 4], [28, 16]]);
/** Of an answer that does not say how long it holds. */
const DEFAULT_TTL = 5;
/** With more, it is to be used at once (RFC 2181, 8). */
const MAX_TTL = 0x7fff_ffff;
const NOT_FOUND = "NXDOMAIN";
/** What is said of a name that does not exist. */
export const NOT_THERE = "the name does not exist (NXDOMAIN)";

/** Undefined for what is none, or is not whole: dns-packet reads beyond the end of a record, and of all. */
export function readMessage(bytes: Uint8Array): Message | undefined {
  try {
    const { buffer, byteOffset, length } = bytes;
    return isWhole(bytes) ? packet.decode(Buffer.from(buffer, byteOffset, length)) as Message : undefined;
  } catch {
    return undefined; // whatever it is, it is no message
  }
}

/** Whether all records that it counts are there. Of one that says itself that it is cut, whether the question is. */
function isWhole(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_BYTES) return false;
  let at = HEADER_BYTES;
  for (let left = view.getUint16(QUESTIONS_AT); left > 0; left--) at = behindName(bytes, at) + QUESTION_BYTES;
  if (at > bytes.length) return false;
  if ((view.getUint16(FLAGS_AT) & TRUNCATED) !== 0) return true;
  for (let left = RECORDS_AT.reduce((sum, place) => sum + view.getUint16(place), 0); left > 0; left--) {
    const record = behindName(bytes, at);
    at = record + RECORD_BYTES;
    if (at > bytes.length) return false;
    const length = view.getUint16(at - 2);
    if (length !== (DATA_BYTES.get(view.getUint16(record)) ?? length)) return false;
    at += length;
    if (at > bytes.length) return false;
  }
  return true;
}

/** Where a name ends, or beyond the end of all. */
function behindName(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length) {
    const length = bytes[at]!;
    if (length >= POINTER) return at + 2;
    at += 1 + length;
    if (length === 0) return at;
  }
  return at + 1;
}

/** What a server says of a name: by records of its own, and of the aliases that it leads to. */
export function answerOf({ rcode, answers, authorities }: Message, name: string, type: RecordType): Answer {
  if (rcode !== "NOERROR" && rcode !== NOT_FOUND) return { kind: "failed", words: `the server says ${rcode}` };
  const own = ownRecords(answers, name);
  const found = own.filter((record) => record.type === type);
  if (found.length === 0 || rcode === NOT_FOUND) {
    const start = authorities.find((record) => record.type === "SOA");
    const { minimum = DEFAULT_TTL } = (start?.data ?? {}) as { readonly minimum?: number };
    const words = rcode === NOT_FOUND ? NOT_THERE : `it has no ${type} record`;
    return { kind: "none", words, ttl: Math.min(start === undefined ? DEFAULT_TTL : ttlOf(start), minimum) };
  }
  // An alias on the way holds no longer than what it leads to.
  const ttl = own.reduce((least, record) => Math.min(least, ttlOf(record)), Infinity);
  return { kind: "records", records: found.map(({ data }) => data as string | Service), ttl };
}

/** Records of a name, and of the names that it is an alias of, in whatever order they come. */
function ownRecords(answers: readonly Record[], name: string): Record[] {
  const names = new Set([name.toLowerCase()]);
  const aliases = answers.filter((record) => record.type === "CNAME" && isInternet(record));
  for (let count = 0; count < names.size;) {
    count = names.size;
    for (const { name, data } of aliases) if (names.has(name.toLowerCase())) names.add(String(data).toLowerCase());
  }
  return answers.filter((record) => isInternet(record) && names.has(record.name.toLowerCase()));
}

function isInternet(record: Record): boolean {
  return record.class === "IN";
}

function ttlOf({ ttl = DEFAULT_TTL }: Record): number {
  return ttl > MAX_TTL ? 0 : ttl;
}
