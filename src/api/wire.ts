/**
 * What the handlers of requests are given.
 *
 * @module
 */
import type { Appliance } from "../appliance/appliance.ts";
import type { Reloader } from "../appliance/reload.ts";
import type { History } from "../observe/history.ts";
import type { Observer } from "../observe/observer.ts";

export interface HttpOptions {
  readonly appliance: Appliance;
  readonly reloader: Reloader;
  readonly observer: Observer;
  readonly history: History;
  readonly configFile: string;
}
