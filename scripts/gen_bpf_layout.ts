/**
 * Writes the layout.gen.ts files: the sizes and offsets of the structs, and the values of the enums, that a BPF program
 * shares with TypeScript, read from the BTF of the compiled object. With `--check` it compares instead, and fails on
 * drift.
 */
// deno-lint-ignore-file no-console
interface BtfMember {
  readonly name: string;
  readonly bits_offset: number;
}
interface BtfType {
  readonly kind: string;
  readonly name: string;
  readonly size?: number;
  readonly members?: readonly BtfMember[];
  readonly values?: readonly { readonly name: string; readonly val: number }[];
}

/** One generated file: the types of `object` whose names start with `prefix`. */
interface Layout {
  readonly object: string;
  readonly target: string;
  readonly prefix: string;
}

const LAYOUTS: readonly Layout[] = [
  { object: "build/steer.bpf.o", target: "src/bpf/layout.gen.ts", prefix: "steer_" },
  { object: "build/trace.bpf.o", target: "src/bpf/trace_layout.gen.ts", prefix: "trace_" },
  { object: "build/traffic.bpf.o", target: "src/traffic/layout.gen.ts", prefix: "traffic_" },
];

async function readBtf(object: string): Promise<BtfType[]> {
  const { success, stdout, stderr } = await new Deno.Command("bpftool", {
    args: ["--json", "btf", "dump", "file", object],
  }).output();
  if (!success) throw new Error(`bpftool cannot read ${object}: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout)).types;
}

const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function struct(type: BtfType, constant: string): string {
  const fields = (type.members ?? [])
    .filter((member) => member.name !== "types_for_btf" && member.name !== "reserved")
    .map((member) => `  ${camel(member.name)}: ${member.bits_offset / 8},`);
  return `/** Byte offsets in \`struct ${type.name}\`. */\n` +
    `export const ${constant} = {\n  size: ${type.size},\n${fields.join("\n")}\n} as const;\n`;
}

function enumeration(type: BtfType, constant: string): string {
  const prefix = (type.values ?? []).reduce((common, { name }) => {
    while (!name.startsWith(common)) common = common.slice(0, common.slice(0, -1).lastIndexOf("_") + 1);
    return common;
  }, `${type.name.toUpperCase()}_`);
  const fields = (type.values ?? []).map(({ name, val }) => `  ${name.slice(prefix.length)}: ${val},`);
  return `/** \`enum ${type.name}\` */\nexport const ${constant} = {\n${fields.join("\n")}\n} as const;\n`;
}

function render(types: readonly BtfType[], { object, prefix }: Layout): string {
  const shared = types.filter((type) => type.name.startsWith(prefix))
    .sort((left, right) => left.name < right.name ? -1 : 1);
  const parts = shared.flatMap((type) => {
    const constant = type.name.slice(prefix.length).toUpperCase();
    return type.kind === "STRUCT"
      ? [struct(type, constant)]
      : type.kind === "ENUM"
      ? [enumeration(type, constant)]
      : [];
  });
  return `// Generated from the BTF of ${object} by scripts/gen_bpf_layout.ts; do not edit.\n\n${parts.join("\n")}`;
}

for (const layout of LAYOUTS) {
  const text = render(await readBtf(layout.object), layout);
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(layout.target, text);
  } else if (await Deno.readTextFile(layout.target).catch(() => "") !== text) {
    console.error(`${layout.target} does not match ${layout.object}: run scripts/dev bpf and commit the result`);
    Deno.exitCode = 1;
  }
}
