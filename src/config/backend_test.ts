import assert from "node:assert/strict";
import { readCalled } from "./backend.ts";

Deno.test("readCalled() finds the one spelling of what somebody calls a backend", () => {
  const spellings: Readonly<Record<string, string | undefined>> = {
    "10.0.0.11:9000": "10.0.0.11:9000",
    "10.0.0.11": "10.0.0.11",
    "[FD00:0::11]:9000": "[fd00::11]:9000",
    "[fd00::11]": "[fd00::11]",
    "fd00:0::11": "[fd00::11]",
    "Game.example.com:7777": "game.example.com:7777",
    "10.0.0.11:": undefined,
    "fd00::11]": undefined,
    "": undefined,
  };
  for (const [text, name] of Object.entries(spellings)) assert.equal(readCalled(text), name, text);
});
