import assert from "node:assert/strict";
import packet from "dns-packet";
import { answerOf, NOT_THERE, readMessage } from "./dns_message.ts";

const NAME = "game.example";
const A = { type: "A", name: NAME, ttl: 20, data: "10.0.0.1" };
const SECOND = { ...A, data: "10.0.0.2" };
const AAAA = { ...A, type: "AAAA", data: "fd00::1" };

type Records = readonly Readonly<Record<string, unknown>>[];

function bytesOf(answers: Records, more: Readonly<Record<string, unknown>> = {}): Uint8Array {
  const questions = [{ type: "A", name: NAME }];
  return packet.encode({ type: "response", id: 7, questions, answers, ...more } as Parameters<typeof packet.encode>[0]);
}

const said = (answers: Records, type: "A" | "AAAA" = "A"): unknown => {
  const answer = answerOf(readMessage(bytesOf(answers))!, NAME, type);
  return answer.kind === "records" ? [...answer.records, answer.ttl] : answer.kind;
};

Deno.test("readMessage() takes no message that is cut anywhere, or has bytes that it does not count", () => {
  const whole = bytesOf([A, SECOND, AAAA]);
  assert.equal(readMessage(whole)?.answers.length, 3);
  for (let length = 0; length < whole.length; length++) {
    assert.equal(readMessage(whole.subarray(0, length)), undefined, `${length} bytes`);
  }
  const counted = Uint8Array.from(whole);
  counted[7]! += 1;
  assert.equal(readMessage(counted), undefined, "a record more than there are");
  const empty = readMessage(bytesOf([]));
  assert.deepEqual(empty?.answers, []);
});

Deno.test("readMessage() takes no address of another length", () => {
  for (const record of [A, AAAA]) {
    const whole = bytesOf([record]);
    const size = record === A ? 4 : 16;
    const at = whole.length - size - 2;
    for (const length of [0, size - 1, size + 1, 0xffff]) {
      const changed = new Uint8Array(whole.length + 1);
      changed.set(whole);
      new DataView(changed.buffer).setUint16(at, length);
      assert.equal(readMessage(changed), undefined, `${record.type} of ${length} bytes`);
    }
  }
});

Deno.test("readMessage() reads of a cut message that it is cut", () => {
  const whole = bytesOf([A, SECOND], { flags: packet.TRUNCATED_RESPONSE });
  assert.equal(readMessage(whole)?.flag_tc, true);
});

Deno.test("readMessage() ends with names that lead to themselves", () => {
  const whole = bytesOf([A]);
  const behind = whole.length - 4 - 10;
  const at = behind - (NAME.length + 2); // of the record's name
  const pointing = (to: number): Uint8Array =>
    Uint8Array.from([...whole.subarray(0, at), 0xc0, to, ...whole.subarray(behind)]);
  assert.deepEqual(readMessage(pointing(12))?.answers.map(({ name }) => name), [NAME]);
  for (const to of [at, at + 1, 0xff]) assert.equal(readMessage(pointing(to)), undefined);
});

Deno.test("answerOf() takes records of the name, and of what it is an alias of, in any order", () => {
  assert.deepEqual(said([A, { ...SECOND, ttl: 10 }, AAAA]), ["10.0.0.1", "10.0.0.2", 10]);
  assert.deepEqual(said([{ ...A, name: "GAME.Example" }]), ["10.0.0.1", 20]);
  const alias = (name: string, data: string, ttl = 5): Records[number] => ({ type: "CNAME", name, ttl, data });
  const chain = [{ ...A, name: "c.example" }, alias("b.example", "C.example", 3), alias(NAME, "b.example")];
  assert.deepEqual(said(chain), ["10.0.0.1", 3]);
  assert.equal(said([alias(NAME, NAME)]), "none");
  assert.equal(said([alias(NAME, "b.example"), alias("b.example", NAME)]), "none");
});

Deno.test("answerOf() takes no record of another name, or of another class than IN", () => {
  assert.equal(said([{ ...A, name: "other.example" }]), "none");
  assert.deepEqual(said([A, { ...SECOND, name: "other.example", ttl: 1 }]), ["10.0.0.1", 20]);
  assert.equal(said([{ ...A, class: "CH" }]), "none");
  assert.equal(said([A], "AAAA"), "none");
});

Deno.test("answerOf() has a TTL with the highest bit hold for no time", () => {
  assert.deepEqual(said([{ ...A, ttl: 0x7fff_ffff }]), ["10.0.0.1", 0x7fff_ffff]);
  assert.deepEqual(said([{ ...A, ttl: 0x8000_0000 }]), ["10.0.0.1", 0]);
});

Deno.test("answerOf() says what the server says", () => {
  const of = (rcode: string): unknown => answerOf({ ...readMessage(bytesOf([]))!, rcode }, NAME, "A");
  assert.deepEqual(of("SERVFAIL"), { kind: "failed", words: "the server says SERVFAIL" });
  assert.deepEqual(of("NXDOMAIN"), { kind: "none", words: NOT_THERE, ttl: 5 });
  assert.deepEqual(of("NOERROR"), { kind: "none", words: "it has no A record", ttl: 5 });
});
