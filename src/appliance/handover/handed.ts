/**
 * What a process goes on with whose configuration is another one by now.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { Config } from "../../config/schema.ts";
import { areOthers } from "./former.ts";
import type { Estate, HandedAppliance } from "./estate.ts";

/** As the other process has sent its own. */
export function asJson(config: Config): Config {
  return JSON.parse(JSON.stringify(config)) as Config;
}

/** What is given to an appliance with a configuration: its generation is the same where nothing of it differs. */
export function handedFor(config: Config, { appliance, config: inForce }: Estate): HandedAppliance {
  const rulesOf = ({ steering, guard, lists, forwarding: { addresses } }: Config): unknown => [
    ...[steering, guard, lists, addresses],
  ];
  const isSame = isDeepStrictEqual(rulesOf(asJson(config)), rulesOf(inForce as Config));
  const { sessions } = (inForce as Config).forwarding;
  return {
    ...appliance,
    generation: appliance.generation - (isSame ? 1 : 0),
    former: areOthers(asJson(config), inForce as Config) ? { sessions } : undefined,
  };
}
