import assert from "node:assert/strict";
import fc from "fast-check";
import { buildProgram } from "./commands.ts";
import { plainRun } from "./main.ts";

Deno.test("plainRun() takes the command line of a service, and leaves what it does not know to the parser", () => {
  assert.deepEqual(plainRun(["run", "--config", "a.yaml"]), { config: "a.yaml" });
  assert.deepEqual(plainRun(["run", "--bpf-object", "b.o", "-c", "a.yaml"]), { config: "a.yaml", bpfObject: "b.o" });
  for (
    const line of ["", "run", "run --help", "run --config", "run --config=a.yaml", "run -c a b", "check -c a.yaml"]
  ) {
    assert.equal(plainRun(line.split(" ")), undefined, line);
  }
});

Deno.test("plainRun() makes of a command line what the parser makes of it", () => {
  const words = fc.constantFrom("--config", "-c", "--bpf-object", "--", "-", "-x", "a.yaml", "b.o", "", "run");
  const run = (): ReturnType<typeof buildProgram> =>
    buildProgram(new URL(import.meta.url)).commands.find((command) => command.name() === "run")!;
  fc.assert(fc.property(fc.array(words, { maxLength: 5 }), (options) => {
    const plain = plainRun(["run", ...options]);
    if (plain === undefined) return;
    const command = run();
    const { operands, unknown } = command.parseOptions(options);
    assert.deepEqual([command.opts(), operands, unknown], [plain, [], []]);
  }));
});
