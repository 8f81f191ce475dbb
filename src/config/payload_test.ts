import assert from "node:assert/strict";
import { payloadBytes } from "../steering/payload.ts";
import { parseConfig, parseFile, writeConfig } from "./parse.ts";
import { complaints, HEAD } from "./testing.ts";
import { configWarnings } from "./warnings.ts";

const SEND = "send: ";
const textOf = (send: string): string =>
  `${HEAD}steering:
- name: a
  ports: 1
  action:
    forward:
      to: ["10.0.0.1:1"]
      health:
        check: udp
        ${SEND}${send}
`;
const sendOf = (text: string): ReturnType<typeof payloadBytes> => {
  const [rule] = parseConfig(text, { file: "steering.yaml", cpuCount: 1 }).steering;
  assert.ok(rule?.action.kind === "forward");
  return payloadBytes(rule.action.health!.send);
};

const HEX = 'expected 1 to 512 bytes of two hex digits each, like "ff ff ff ff 54"';
const BASE64 = 'expected 1 to 512 bytes in base64, like "/////1Q="';
const ANY = "expected 1 to 512 characters, { hex: DIGITS } or { base64: TEXT }";

const CASES: Readonly<Record<string, string>> = {
  '{ hex: "0xff" }': `22 hex "0xff" begins with "0x", which is no part of the bytes: ${HEX}`,
  '{ hex: "ffg0" }': `22 hex "ffg0" has "g" in it, which is no hex digit: ${HEX}`,
  '{ hex: "ff f" }': `22 hex "ff f" has half a byte in it: ${HEX}`,
  '{ hex: "ff f ff f" }': `22 hex "ff f ff f" has half a byte in it: ${HEX}`,
  '{ hex: "" }': `22 hex "" has no digits: ${HEX}`,
  [`{ hex: "${"00".repeat(513)}" }`]: `22 hex "${"0".repeat(59)}…" is 513 bytes long: ${HEX}`,
  "{ hex: 11 }": `22 hex 11 is not text: ${HEX}, in quotes`,
  '{ base64: "/////1Q" }': "",
  '{ base64: "/" }': `25 base64 "/" is not base64: ${BASE64}`,
  '{ base64: "a-b_" }': `25 base64 "a-b_" is not base64: ${BASE64}`,
  '{ base64: "" }': `25 base64 "" is empty: ${BASE64}`,
  '{ hax: "ff" }': '17 unknown key "hax": did you mean "hex"?',
  "{}": `15 send is an empty map: ${ANY}`,
  "[]": `15 send is a list: ${ANY}`,
  '{ hex: "ff", base64: "/w==" }': `15 send has both hex and base64: ${ANY}`,
  "7": "15 send 7 is not text: expected 1 to 512 characters, in quotes",
};

for (const [send, expected] of Object.entries(CASES)) {
  Deno.test(`parseConfig() of a payload ${send.slice(0, 40)}`, () => {
    assert.deepEqual(
      complaints(textOf(send)),
      expected === "" ? [] : [`11:${expected}`],
    );
  });
}

const ways = (bytes: Uint8Array): Readonly<Record<string, string>> => ({
  hex: bytes.toHex(),
  "hex with spaces": bytes.toHex().replaceAll(/(..)/g, "$1 "),
  "hex in capitals": bytes.toHex().toUpperCase(),
  base64: bytes.toBase64(),
});

Deno.test("a payload is each of the bytes that its hex or base64 says, and is written as it was read", () => {
  for (const bytes of [Uint8Array.from({ length: 256 }, (_, byte) => byte), new Uint8Array(512).fill(0xff)]) {
    for (const [way, written] of Object.entries(ways(bytes))) {
      const send = { [way.split(" ")[0]!]: written };
      const text = textOf(JSON.stringify(send));
      assert.deepEqual(sendOf(text), bytes, way);
      const again = writeConfig(parseConfig(text, { file: "steering.yaml", cpuCount: 1 }));
      assert.deepEqual(JSON.parse(again).steering[0].action.forward.health.send, send);
      assert.deepEqual(sendOf(again), bytes, way);
    }
  }
  assert.deepEqual(sendOf(textOf('"ÿ"')), Uint8Array.of(0xc3, 0xbf), "a text is UTF-8");
});

const warningsOf = (send: string): string[] => {
  const text = textOf(send);
  return configWarnings(parseFile(text, { file: "steering.yaml", cpuCount: 1 })).map(({ line, column, message }) =>
    `${line}:${column} ${message}`
  );
};

Deno.test("configWarnings() tells of escapes that do not send the byte they name", () => {
  const utf8 = "is sent as the bytes c3 bf (UTF-8): for bytes expected { hex: DIGITS }";
  assert.deepEqual(warningsOf('"\\xFF\\xFFT"'), [`11:15 send "ÿÿT" is text: \\xFF ${utf8}`]);
  assert.deepEqual(warningsOf('"\\u00ffT"'), [`11:15 send "ÿT" is text: \\u00ff ${utf8}`]);
  for (const send of ["\\xFF", "'\\xFF'"]) {
    assert.deepEqual(warningsOf(send), [
      '11:15 send "\\\\xFF" has a backslash in it that is sent as such, since only a text in double quotes has escapes: ' +
      "for bytes expected { hex: DIGITS }",
    ]);
  }
  for (const send of ["ping", '"größe"', '"\\x01\\t"', '"\\u20ac"', '{ hex: "ff" }', '{ base64: "xFF/" }']) {
    assert.deepEqual(warningsOf(send), [], send);
  }
});
