/**
 * The probe of each kind of check. What there is to choose from is in steering/forward.ts.
 *
 * @module
 */
import type { SocketAddress } from "../../ffi/udp.ts";
import type { HealthCheck, HealthCheckKind } from "../../steering/forward.ts";
import { DnsProbe } from "./dns_probe.ts";
import { EchoProbe } from "./echo_probe.ts";
import type { Probe } from "./probe.ts";
import type { SourcePorts } from "./source_ports.ts";
import { TcpProbe, UdpProbe } from "./socket_probes.ts";

type ProbeClass = new (peer: SocketAddress, check: HealthCheck, ports: SourcePorts) => Probe;
const PROBES: Readonly<Record<HealthCheckKind, ProbeClass>> = {
  udp: UdpProbe,
  tcp: TcpProbe,
  icmp: EchoProbe,
  dns: DnsProbe,
};

/** @param peer The backend, with the port that is checked. @param ports To send from. */
export function openProbe(peer: SocketAddress, check: HealthCheck, ports: SourcePorts): Probe {
  return new PROBES[check.check](peer, check, ports);
}
