/**
 * The systemd unit that is shipped.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

export const UNIT_FILE = fileURLToPath(new URL("../../packaging/systemd/xdpsteer.service", import.meta.url));

/** Every value that the unit gives a setting, in its order. */
export function settings(name: string): string[] {
  const lines = Deno.readTextFileSync(UNIT_FILE).split("\n");
  return lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1));
}

/** The value of a setting that the unit has once. */
export function setting(name: string): string {
  const values = settings(name);
  if (values.length !== 1) throw new Error(`The unit has ${name}= ${values.length} times`);
  return values[0]!;
}
