/** What forwards, and what it is compared with. Whatever runs as a process has the subject's CPU. */
import { Appliance } from "../e2e/support/appliance.ts";
import { BACKEND_PORT } from "../e2e/support/backends.ts";
import { until } from "../e2e/support/wait.ts";
import { INTERFACES, IPV4, type VethNetwork } from "../../src/traffic/veth_network.ts";
import type { Stoppable } from "./contest.ts";
import type { Backend } from "./forward_network.ts";
import { BUILD, PORT, SUBJECT_CPU } from "./rig.ts";
import { readLines, type Wait } from "./subjects.ts";

/** Where scripts/dev puts Debian's nginx. */
const NGINX = `${Deno.cwd()}/.tools/nginx`;

/** xdpsteer, as an operator runs it. */
export async function startForwarder(network: VethNetwork, backend: Backend, wait: Wait): Promise<Stoppable> {
  const { address, interfaces } = backend;
  return await Appliance.start(network, (socket) =>
    `version: 1
interfaces: [${interfaces.map((name) => `{ name: ${name}, zero_copy: off }`).join(", ")}]
workers: { count: 1, wait: ${wait}, cpus: [${SUBJECT_CPU}] }
steering:
  - { name: bench, ports: ${PORT}, action: { forward: { to: ["${address}:${BACKEND_PORT}"] } } }
control: { socket: ${socket}, http: "off" }
`);
}

/**
 * The kernel's own path: DNAT and masquerade, in the softirq of the CPU that receives, which is the sender's.
 *
 * @param spread Receive packet steering moves it, but for taking the packet in, to the subject's CPU.
 */
export async function startNftables(network: VethNetwork, backend: Backend, spread: boolean): Promise<Stoppable> {
  const box = (...argv: string[]): Promise<string> => network.exec("steer", argv);
  const steer = (cpus: number): Promise<string> =>
    box("sh", "-c", `echo ${cpus.toString(16)} >/sys/class/net/${INTERFACES.steer}/queues/rx-0/rps_cpus`);
  const out = backend.interfaces.at(-1)!;
  // Redirects would tell the client to go past a box with one arm.
  await box("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0");
  await box("sysctl", "-q", "-w", ...backend.interfaces.map((name) => `net.ipv4.conf.${name}.send_redirects=0`));
  await box(
    "nft",
    `table ip bench {
  chain in { type nat hook prerouting priority dstnat;
    ip daddr ${IPV4.steer} udp dport ${PORT} dnat to ${backend.address}:${BACKEND_PORT}; }
  chain out { type nat hook postrouting priority srcnat; oifname ${out} masquerade; }
}`,
  );
  if (spread) await steer(1 << SUBJECT_CPU);
  return {
    [Symbol.asyncDispose]: async () => {
      if (spread) await steer(0);
      await box("nft", "flush ruleset");
      await box("sysctl", "-q", "-w", "net.ipv4.ip_forward=0");
    },
  };
}

/** nginx's stream module: one process, sessions that outlast the other subjects' turns, any number of answers. */
export async function startNginx(network: VethNetwork, backend: Backend): Promise<Stoppable> {
  const program = `${NGINX}/usr/sbin/nginx`;
  await Deno.stat(program).catch(() => {
    throw new Error(`"${program}" is missing: start this with scripts/dev bench, which brings it`);
  });
  const prefix = await Deno.makeTempDir({ prefix: "xdpsteer-nginx-" });
  await Deno.writeTextFile(
    `${prefix}/nginx.conf`,
    `load_module ${NGINX}/usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid ${prefix}/nginx.pid;
error_log stderr error;
events { use epoll; worker_connections 8192; multi_accept on; }
stream {
  server {
    listen ${IPV4.steer}:${PORT} udp;
    proxy_pass ${backend.address}:${BACKEND_PORT};
    proxy_timeout 60s;
  }
}
`,
  );
  const nginx = [program, "-e", "stderr", "-p", prefix, "-c", `${prefix}/nginx.conf`];
  const argv = ["taskset", "-c", `${SUBJECT_CPU}`, ...nginx];
  const child = network.spawn("steer", argv, { stdout: "null", stderr: "inherit" });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await child.status;
    await Deno.remove(prefix, { recursive: true });
  };
  try {
    await until("nginx", () => isBound(child.pid, PORT));
  } catch (error) {
    await stop().catch(() => {});
    throw error;
  }
  return { pid: child.pid, [Symbol.asyncDispose]: stop };
}

/** Whether somebody listens on a UDP port in the namespace of a process. */
function isBound(pid: number, port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return Deno.readTextFileSync(`/proc/${pid}/net/udp`).includes(`:${hex} `);
}

/** The C program over ordinary sockets. */
export async function startRelay(network: VethNetwork, backend: Backend): Promise<Stoppable> {
  const argv = [`${BUILD}/udp_relay`, `${PORT}`, backend.address, `${BACKEND_PORT}`, `${SUBJECT_CPU}`];
  const child = network.spawn("steer", argv, { stderr: "inherit" });
  const lines = readLines(child.stdout);
  if (await lines.next() !== "ready") throw new Error("udp_relay does not start");
  return {
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await child.status;
      lines.close();
    },
  };
}
