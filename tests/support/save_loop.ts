/**
 * Saves the file that is named without end, with one of two contents in turn: to be killed.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { parseConfig } from "../../src/config/parse.ts";
import { prepareSave } from "../../src/config/save.ts";
import type { Rule } from "../../src/steering/rule.ts";

const [file] = Deno.args;
const options = { file: file!, cpuCount: 2 };
let told = false;
for (let worker = 1;; worker = 1 - worker) {
  const move = (rules: readonly Rule[]): Rule[] => rules.map((rule) => ({ ...rule, worker }));
  const config = parseConfig(Deno.readFileSync(file!), options);
  using saving = prepareSave(options, { ...config, steering: move(config.steering) }, move);
  await saving.write();
  if (!told) console.log("saving");
  told = true;
}
