/**
 * Writes config/steering.schema.json, the JSON schema that gives editors completion and checks, from the code's own
 * schema. With `--check` it compares instead, and fails when the file is stale.
 */
// deno-lint-ignore-file no-console
import { z } from "zod";
import { configSchema } from "../src/config/schema.ts";
import { EXTENSION_PREFIX } from "../src/config/wording.ts";

const TARGET = "config/steering.schema.json";

function render(): string {
  const { $schema, ...rest } = z.toJSONSchema(configSchema, { target: "draft-2020-12", io: "input" });
  const schema = {
    $schema,
    $id: "https://xdpsteer.dev/steering.schema.json",
    title: "xdpsteer configuration",
    description: "Which UDP port goes to which worker, and what happens there.",
    ...rest,
    patternProperties: { [`^${EXTENSION_PREFIX}`]: { description: "Ignored: a place for anchors." } },
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

const text = render();
if (!Deno.args.includes("--check")) {
  await Deno.writeTextFile(TARGET, text);
} else if (await Deno.readTextFile(TARGET).catch(() => "") !== text) {
  console.error(`${TARGET} does not match src/config/schema.ts: run scripts/dev schema and commit the result`);
  Deno.exitCode = 1;
}
