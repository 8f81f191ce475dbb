/**
 * libbpf itself: its symbols, its messages, its way to report errors. Only src/ffi/libbpf.ts calls it.
 *
 * @module
 */
import { syscallError } from "./errno.ts";
import { libc } from "./libc.ts";
import { type Functions, openLibrary } from "./library.ts";

const SYMBOLS = {
  // libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t print)
  libbpf_set_print: { parameters: ["function"], result: "pointer" },
  // struct bpf_object *bpf_object__open_mem(const void *bytes, size_t size, const struct bpf_object_open_opts *opts)
  bpf_object__open_mem: { parameters: ["buffer", "usize", "pointer"], result: "pointer" },
  // int bpf_object__load(struct bpf_object *object)
  bpf_object__load: { parameters: ["pointer"], result: "i32" },
  // the same, on another thread
  bpf_object__load_elsewhere: { name: "bpf_object__load", parameters: ["pointer"], result: "i32", nonblocking: true },
  // void bpf_object__close(struct bpf_object *object)
  bpf_object__close: { parameters: ["pointer"], result: "void" },
  // struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *object, const char *name)
  bpf_object__find_program_by_name: { parameters: ["pointer", "buffer"], result: "pointer" },
  // int bpf_program__fd(const struct bpf_program *program)
  bpf_program__fd: { parameters: ["pointer"], result: "i32" },
  // struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *object, const char *name)
  bpf_object__find_map_by_name: { parameters: ["pointer", "buffer"], result: "pointer" },
  // int bpf_map__fd(const struct bpf_map *map)
  bpf_map__fd: { parameters: ["pointer"], result: "i32" },
  // int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries)
  bpf_map__set_max_entries: { parameters: ["pointer", "u32"], result: "i32" },
  // int bpf_map__set_initial_value(struct bpf_map *map, const void *data, size_t size)
  bpf_map__set_initial_value: { parameters: ["pointer", "buffer", "usize"], result: "i32" },
  // int bpf_map__reuse_fd(struct bpf_map *map, int fd)
  bpf_map__reuse_fd: { parameters: ["pointer", "i32"], result: "i32" },
  // int bpf_map_create(enum bpf_map_type type, const char *name, __u32 key_size, __u32 value_size, __u32 max_entries,
  //                    const struct bpf_map_create_opts *opts)
  bpf_map_create: { parameters: ["i32", "buffer", "u32", "u32", "u32", "buffer"], result: "i32" },
  // int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
  bpf_map_update_elem: { parameters: ["i32", "buffer", "buffer", "u64"], result: "i32" },
  // int bpf_map_delete_elem(int fd, const void *key)
  bpf_map_delete_elem: { parameters: ["i32", "buffer"], result: "i32" },
  // int bpf_map_lookup_elem(int fd, const void *key, void *value)
  bpf_map_lookup_elem: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int bpf_map_lookup_batch(int fd, void *in, void *out, void *keys, void *values, __u32 *count, const void *opts)
  bpf_map_lookup_batch: {
    parameters: ["i32", "buffer", "buffer", "buffer", "buffer", "buffer", "pointer"],
    result: "i32",
  },
  // int bpf_prog_load(enum bpf_prog_type type, const char *name, const char *license, const struct bpf_insn
  // *instructions,
  //                   size_t count, struct bpf_prog_load_opts *opts)
  bpf_prog_load: { parameters: ["i32", "buffer", "buffer", "buffer", "usize", "pointer"], result: "i32" },
  // int bpf_link_create(int prog_fd, int target_fd, enum bpf_attach_type type, const struct bpf_link_create_opts *opts)
  bpf_link_create: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int bpf_link_update(int link_fd, int new_prog_fd, const struct bpf_link_update_opts *opts)
  bpf_link_update: { parameters: ["i32", "i32", "pointer"], result: "i32" },
  // int bpf_tc_hook_create(struct bpf_tc_hook *hook)
  bpf_tc_hook_create: { parameters: ["buffer"], result: "i32" },
  // int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)
  bpf_tc_attach: { parameters: ["buffer", "buffer"], result: "i32" },
  // int bpf_tc_detach(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *opts)
  bpf_tc_detach: { parameters: ["buffer", "buffer"], result: "i32" },
  // int bpf_raw_tracepoint_open(const char *name, int prog_fd)
  bpf_raw_tracepoint_open: { parameters: ["buffer", "i32"], result: "i32" },
  // int bpf_xdp_query(int ifindex, int flags, struct bpf_xdp_query_opts *opts)
  bpf_xdp_query: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  // int bpf_xdp_detach(int ifindex, __u32 flags, const struct bpf_xdp_attach_opts *opts)
  bpf_xdp_detach: { parameters: ["i32", "u32", "pointer"], result: "i32" },
  // int bpf_link_detach(int link_fd)
  bpf_link_detach: { parameters: ["i32"], result: "i32" },
  // int bpf_prog_get_fd_by_id(__u32 id)
  bpf_prog_get_fd_by_id: { parameters: ["u32"], result: "i32" },
  // int bpf_link_get_next_id(__u32 start_id, __u32 *next_id)
  bpf_link_get_next_id: { parameters: ["u32", "buffer"], result: "i32" },
  // int bpf_link_get_fd_by_id(__u32 id)
  bpf_link_get_fd_by_id: { parameters: ["u32"], result: "i32" },
  // int bpf_obj_get_info_by_fd(int fd, void *info, __u32 *length)
  bpf_obj_get_info_by_fd: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts)
  bpf_prog_test_run_opts: { parameters: ["i32", "buffer"], result: "i32" },
  // int libbpf_num_possible_cpus(void)
  libbpf_num_possible_cpus: { parameters: [], result: "i32" },
  // struct ring_buffer *ring_buffer__new(int map_fd, ring_buffer_sample_fn callback, void *context, const void *opts)
  ring_buffer__new: { parameters: ["i32", "function", "pointer", "pointer"], result: "pointer" },
  // int ring_buffer__consume(struct ring_buffer *ring)
  ring_buffer__consume: { parameters: ["pointer"], result: "i32" },
  // void ring_buffer__free(struct ring_buffer *ring)
  ring_buffer__free: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

const PRINT = { parameters: ["i32", "pointer", "pointer"], result: "i32" } as const;

type Libbpf = Functions<typeof SYMBOLS>;
let opened: Libbpf | undefined;

const LEVEL_DEBUG = 2;
/** As much as libbpf lets the verifier write. The reason for a refusal is the last line of the log. */
const MESSAGE_BYTES = (1 << 24) + 4096;

/** libbpf is opened at first use and stays open for the life of the process. */
export function libbpf(): Libbpf {
  if (opened !== undefined) return opened;
  opened = openLibrary(findLibrary(), SYMBOLS, "install it: apt install libbpf1");
  opened.libbpf_set_print(null);
  return opened;
}

/**
 * The library to open. The one file brings its own: a self-extracting one by the loader's search path, one of
 * `deno compile` among its embedded files, where libbpf finds what it needs only if that is open already.
 * XDPSTEER_SYSTEM_LIBRARIES asks for the system's.
 */
function findLibrary(): string {
  if (!Deno.build.standalone || Deno.env.has("XDPSTEER_SYSTEM_LIBRARIES")) return "libbpf.so.1";
  const embedded = (name: string): string => `${import.meta.dirname}/lib/${name}`;
  for (const name of ["libz.so.1", "libelf.so.1"]) Deno.dlopen(embedded(name), {});
  return embedded("libbpf.so.1");
}

/**
 * Where libbpf prints to while {@linkcode messagesOf} listens. Made once, and never closed: libbpf may be printing on
 * another thread.
 */
let printer: Deno.UnsafeCallback<typeof PRINT> | undefined;
let messages: string[] = [];

function makePrinter(): Deno.UnsafeCallback<typeof PRINT> {
  const { vsnprintf } = libc().symbols;
  let text: Uint8Array<ArrayBuffer> | undefined;
  // A va_list parameter is a pointer in both the x86-64 and the AArch64 calling convention, so it can be handed on as
  // one.
  return new Deno.UnsafeCallback(PRINT, (level, format, list) => {
    if (level === LEVEL_DEBUG) return 0;
    text ??= new Uint8Array(MESSAGE_BYTES); // pages that are not written to take no memory
    const length = Math.min(vsnprintf(text, BigInt(text.byteLength), format, list), text.byteLength - 1);
    messages.push(new TextDecoder().decode(text.subarray(0, Math.max(length, 0))).trimEnd());
    return 0;
  });
}

/**
 * What libbpf prints during a call: the reason for a failure, and the verifier's log where that is the reason. At all
 * other times it prints nothing, since a call on another thread would have to wait for this one to hear it.
 */
export function messagesOf(call: () => void): string {
  printer ??= makePrinter();
  messages = [];
  libbpf().libbpf_set_print(printer.pointer);
  try {
    call();
  } finally {
    libbpf().libbpf_set_print(null);
  }
  return messages.join("\n");
}

/** libbpf's 1.0 convention: a negative result is `-errno`. */
export function checked(result: number, call: string, what: string): number {
  if (result < 0) throw syscallError(call, -result, what);
  return result;
}
