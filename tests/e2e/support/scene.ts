/**
 * A box between clients and backends: what most tests of forwarding begin with.
 *
 * @module
 */
import { TestNetwork } from "../../support/netns.ts";
import { fatesOf } from "./accounts.ts";
import { type Appliance, startAppliance, type Status } from "./appliance.ts";
import { BackendHost, type BackendOptions, type Family } from "./backends.ts";

export interface ForwardScene extends AsyncDisposable {
  readonly network: TestNetwork;
  readonly host: BackendHost;
  readonly box: Appliance;
}

/** Queues are those of both links. */
export interface SceneOptions extends BackendOptions {
  readonly families: readonly Family[];
  /** Numbers of the backends that answer. */
  readonly serving: readonly number[];
  /** More variables for the box's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Words before the product's: who starts it. */
  readonly as?: readonly string[];
}

/** Packets that are forwarded after a change before it is looked at. */
const PACKETS = 2000;

/** Starts the backends and the box, which is favoured, and gives back all that there is if that fails. */
export async function startScene(
  config: (socket: string) => string,
  { families, serving, env = {}, as = [], ...options }: SceneOptions,
): Promise<ForwardScene> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await TestNetwork.create({ queues: options.queues ?? 2 }));
  const host = stack.use(await BackendHost.create(network, options));
  for (const family of families) for (const number of serving) await host.serve(family, number);
  const box = stack.use(await startAppliance(network, config, { favoured: true, env, as }));
  const parts = stack.move();
  return { network, host, box, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

/** Waits until rule web has forwarded so many packets more. */
export async function untilForwarded({ box }: Pick<ForwardScene, "box">, packets = PACKETS): Promise<void> {
  const forwarded = (status: Status): number => fatesOf(status, "web").forwarded ?? 0;
  const before = forwarded(await box.status());
  await box.untilStatus("packets to be forwarded", (status) => forwarded(status) > before + packets);
}
