/**
 * Network namespaces for tests: those of the demo, made only where a kernel test can run at all.
 *
 * @module
 */
import { VethNetwork, type VethNetworkOptions } from "../../src/traffic/veth_network.ts";

export { INTERFACES, IPV4, IPV6, MACS, type Side, type SpawnOptions } from "../../src/traffic/veth_network.ts";

/** Fails where a kernel test cannot run. It never skips: a test that did not run proves nothing. */
export function requireKernel(): void {
  if (Deno.uid() !== 0) throw new Error("This test needs root: it loads BPF programs and makes network namespaces");
  try {
    Deno.statSync("/sys/kernel/btf/vmlinux");
  } catch {
    throw new Error("This test needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
  }
}

/** A client and a steer namespace with a veth pair between them: `await using network = await TestNetwork.create()`. */
export type TestNetwork = VethNetwork;

export const TestNetwork = {
  create(options: VethNetworkOptions = {}): Promise<TestNetwork> {
    requireKernel();
    return VethNetwork.create(options);
  },
} as const;
