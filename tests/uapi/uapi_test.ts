import assert from "node:assert/strict";
import { ERRNO } from "../../src/ffi/errno.ts";
import { IP_SOCKET } from "../../src/ffi/ip_socket.ts";
import * as netlink from "../../src/ffi/netlink_uapi.ts";
import * as udp from "../../src/ffi/udp.ts";
import * as uapi from "../../src/ffi/uapi.ts";

/** A table of src/ffi: numbers by name. */
type Table = Readonly<Record<string, number>>;

/** A table of offsets in a C struct. */
interface StructTable {
  readonly type: string;
  readonly table: Table;
  /**
   * True where the table describes the beginning of a struct that has grown since, and its size is of that beginning.
   */
  readonly beginning?: boolean;
  /** Fields that are in a struct inside the struct, by the name of the table. */
  readonly inside?: Readonly<Record<string, string>>;
  /** Keys that are neither offsets nor the size, with what they are in C. */
  readonly others?: Readonly<Record<string, string>>;
}

const MESSAGE_FIELDS = ["msg_name", "msg_namelen", "msg_iov", "msg_iovlen"];

const STRUCTS: Readonly<Record<string, StructTable>> = {
  XDP_UMEM_REG: { type: "struct xdp_umem_reg", table: uapi.XDP_UMEM_REG, beginning: true },
  OPEN_HOW: { type: "struct open_how", table: uapi.OPEN_HOW, beginning: true },
  SOCKADDR_XDP: { type: "struct sockaddr_xdp", table: uapi.SOCKADDR_XDP },
  MSGHDR: { type: "struct msghdr", table: uapi.MSGHDR },
  CMSGHDR: { type: "struct cmsghdr", table: uapi.CMSGHDR },
  SOCKADDR_UN: { type: "struct sockaddr_un", table: uapi.SOCKADDR_UN },
  XDP_RING_OFFSET: { type: "struct xdp_ring_offset", table: uapi.XDP_RING_OFFSET },
  XDP_MMAP_OFFSETS: { type: "struct xdp_mmap_offsets", table: uapi.XDP_MMAP_OFFSETS },
  XDP_DESC: { type: "struct xdp_desc", table: uapi.XDP_DESC },
  XDP_STATISTICS: { type: "struct xdp_statistics", table: uapi.XDP_STATISTICS },
  POLLFD: { type: "struct pollfd", table: uapi.POLLFD },
  TIMESPEC: { type: "struct timespec", table: uapi.TIMESPEC },
  SIGACTION: { type: "struct sigaction", table: uapi.SIGACTION },
  IFREQ: { type: "struct ifreq", table: uapi.IFREQ },
  ETHTOOL_DRVINFO: { type: "struct ethtool_drvinfo", table: uapi.ETHTOOL_DRVINFO },
  ETHTOOL_VALUE: { type: "struct ethtool_value", table: uapi.ETHTOOL_VALUE },
  ETHTOOL_CHANNELS: { type: "struct ethtool_channels", table: uapi.ETHTOOL_CHANNELS },
  ETHTOOL_SSET_INFO: { type: "struct ethtool_sset_info", table: uapi.ETHTOOL_SSET_INFO },
  ETHTOOL_GSTRINGS: { type: "struct ethtool_gstrings", table: uapi.ETHTOOL_GSTRINGS },
  ETHTOOL_GFEATURES: { type: "struct ethtool_gfeatures", table: uapi.ETHTOOL_GFEATURES, inside: { blocks: "size" } },
  ETHTOOL_GET_FEATURES_BLOCK: {
    type: "struct ethtool_get_features_block",
    table: uapi.ETHTOOL_GET_FEATURES_BLOCK,
  },
  BPF_PROG_INFO: {
    type: "struct bpf_prog_info",
    table: uapi.BPF_PROG_INFO,
    others: {
      nameBytes: "SIZE_OF_FIELD(struct bpf_prog_info, name)",
      sizeAtLeast: "offsetof(struct bpf_prog_info, name) + SIZE_OF_FIELD(struct bpf_prog_info, name)",
    },
  },
  BPF_LINK_INFO: { type: "struct bpf_link_info", table: uapi.BPF_LINK_INFO, inside: { xdp_ifindex: "xdp.ifindex" } },
  BPF_XDP_QUERY_OPTS: { type: "struct bpf_xdp_query_opts", table: uapi.BPF_XDP_QUERY_OPTS, beginning: true },
  BPF_LINK_CREATE_OPTS: { type: "struct bpf_link_create_opts", table: uapi.BPF_LINK_CREATE_OPTS, beginning: true },
  BPF_TC_HOOK: { type: "struct bpf_tc_hook", table: uapi.BPF_TC_HOOK, beginning: true },
  BPF_TC_OPTS: { type: "struct bpf_tc_opts", table: uapi.BPF_TC_OPTS, beginning: true },
  BPF_MAP_CREATE_OPTS: { type: "struct bpf_map_create_opts", table: uapi.BPF_MAP_CREATE_OPTS, beginning: true },
  BPF_TEST_RUN_OPTS: { type: "struct bpf_test_run_opts", table: uapi.BPF_TEST_RUN_OPTS, beginning: true },
  SOCKADDR_NL: { type: "struct sockaddr_nl", table: netlink.SOCKADDR_NL },
  NLMSGHDR: { type: "struct nlmsghdr", table: netlink.NLMSGHDR },
  NLATTR: { type: "struct nlattr", table: netlink.NLATTR },
  IFINFOMSG: { type: "struct ifinfomsg", table: netlink.IFINFOMSG },
  IFADDRMSG: { type: "struct ifaddrmsg", table: netlink.IFADDRMSG },
  NDMSG: { type: "struct ndmsg", table: netlink.NDMSG },
  TCMSG: { type: "struct tcmsg", table: netlink.TCMSG },
  RTMSG: { type: "struct rtmsg", table: netlink.RTMSG },
  RTVIA: {
    type: "struct rtvia",
    table: netlink.RTVIA,
    others: { rtvia_addr: "offsetof(struct rtvia, rtvia_addr)" }, // an array without a size
  },
  SOCKADDR_IN: { type: "struct sockaddr_in", table: udp.SOCKADDR_IN },
  SOCKADDR_IN6: { type: "struct sockaddr_in6", table: udp.SOCKADDR_IN6 },
  IOVEC: { type: "struct iovec", table: udp.IOVEC },
  MMSGHDR: {
    type: "struct mmsghdr",
    table: udp.MMSGHDR,
    inside: Object.fromEntries(MESSAGE_FIELDS.map((field) => [field, `msg_hdr.${field}`])),
  },
};

/** Tables of plain numbers, with what a key is in C. */
const CONSTANTS: Readonly<Record<string, { readonly table: Table; readonly inC: (key: string) => string }>> = {
  UAPI: { table: uapi.UAPI, inC: (key) => key },
  SYSCALL_NUMBERS: { table: uapi.SYSCALL_NUMBERS[Deno.build.arch], inC: (key) => `SYS_${key}` },
  OPEN_FLAGS: { table: uapi.OPEN_FLAGS[Deno.build.arch], inC: (key) => key },
  INET: { table: udp.INET, inC: (key) => key },
  IP_SOCKET: { table: IP_SOCKET, inC: (key) => key },
  NETLINK: { table: netlink.NETLINK, inC: (key) => key },
  ERRNO: { table: ERRNO, inC: (key) => key },
};

/** One line of C for each entry of each table. */
function entries(): string[] {
  const constants = Object.entries(CONSTANTS).flatMap(([name, { table, inC }]) =>
    Object.keys(table).map((key) => `ENTRY("${name}.${key}", ${inC(key)});`)
  );
  const structs = Object.entries(STRUCTS).flatMap(([name, { type, table, inside = {}, others = {} }]) => [
    `ENTRY("${name}.sizeof", sizeof(${type}));`,
    ...Object.keys(table).filter((key) => key !== "size").flatMap((key) => {
      if (others[key] !== undefined) return [`ENTRY("${name}.${key}", ${others[key]});`];
      const field = inside[key] ?? key;
      return [
        `ENTRY("${name}.${key}", offsetof(${type}, ${field}));`,
        `ENTRY("${name}.${key}.sizeof", SIZE_OF_FIELD(${type}, ${field}));`,
      ];
    }),
  ]);
  return [...constants, ...structs];
}

async function run(program: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  assert.ok(success, `${program} failed: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

async function readHeaders(): Promise<Table> {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/entries.h`, entries().join("\n") + "\n");
    const define = `-DLAYOUT_ENTRIES="${directory}/entries.h"`;
    const warnings = ["-Wall", "-Wextra", "-Werror"];
    await run("gcc", [...warnings, define, "-o", `${directory}/layout`, `${import.meta.dirname}/layout.c`]);
    return JSON.parse(await run(`${directory}/layout`, []));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("src/ffi has every constant as the C headers have it", async (test) => {
  const headers = await readHeaders();
  for (const [name, { table }] of Object.entries(CONSTANTS)) {
    await test.step(`${name} has the C values`, () => {
      for (const [key, value] of Object.entries(table)) {
        assert.equal(value, headers[`${name}.${key}`], `${name}.${key}`);
      }
    });
  }
});

Deno.test("src/ffi has every struct as the C headers have it", async (test) => {
  const headers = await readHeaders();
  for (const [name, { type, table, beginning = false }] of Object.entries(STRUCTS)) {
    await test.step(`${name} has the layout of ${type}`, () => {
      for (const [key, value] of Object.entries(table)) {
        if (key !== "size") assert.equal(value, headers[`${name}.${key}`], `${name}.${key}`);
      }
      const { size } = table;
      if (size === undefined) return;
      if (!beginning) return assert.equal(size, headers[`${name}.sizeof`], `the size of ${type}`);
      const fields = Object.keys(table).filter((key) => key !== "size");
      const end = Math.max(...fields.map((key) => table[key]! + headers[`${name}.${key}.sizeof`]!));
      assert.ok(size >= end && size <= headers[`${name}.sizeof`]!, `${size} bytes of ${type} hold its fields`);
    });
  }
});

Deno.test("tests/uapi knows every table of numbers in src/ffi", () => {
  const tables = Object.entries({ ...uapi, ...udp, ...netlink, IP_SOCKET, ERRNO }).filter(([, value]) =>
    typeof value === "object"
  );
  assert.deepEqual(tables.map(([name]) => name).sort(), [...Object.keys(CONSTANTS), ...Object.keys(STRUCTS)].sort());
});

Deno.test("SYSCALL_NUMBERS names the same calls on every architecture", () => {
  const names = Object.values(uapi.SYSCALL_NUMBERS).map((table) => Object.keys(table).sort());
  for (const other of names) assert.deepEqual(other, names[0]);
});
