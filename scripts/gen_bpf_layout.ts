/**
 * Writes src/bpf/layout.gen.ts: the sizes and offsets of the structs, and the values of the enums, that the XDP program
 * shares with TypeScript, read from the BTF of the compiled object. With `--check` it compares instead, and fails on drift.
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

const OBJECT = "build/steer.bpf.o";
const TARGET = "src/bpf/layout.gen.ts";

async function readBtf(object: string): Promise<BtfType[]> {
  const { success, stdout, stderr } = await new Deno.Command("bpftool", {
    args: ["--json", "btf", "dump", "file", object],
  }).output();
  if (!success) throw new Error(`bpftool cannot read ${object}: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout)).types;
}

const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const constant = (name: string): string => name.replace(/^steer_/, "").toUpperCase();

function struct(type: BtfType): string {
  const fields = (type.members ?? [])
    .filter((member) => member.name !== "types_for_btf" && member.name !== "reserved")
    .map((member) => `  ${camel(member.name)}: ${member.bits_offset / 8},`);
  return `/** Byte offsets in \`struct ${type.name}\`. */\n` +
    `export const ${constant(type.name)} = {\n  size: ${type.size},\n${fields.join("\n")}\n} as const;\n`;
}

function enumeration(type: BtfType): string {
  const prefix = (type.values ?? []).reduce((common, { name }) => {
    while (!name.startsWith(common)) common = common.slice(0, common.slice(0, -1).lastIndexOf("_") + 1);
    return common;
  }, `${type.name.toUpperCase()}_`);
  const fields = (type.values ?? []).map(({ name, val }) => `  ${name.slice(prefix.length)}: ${val},`);
  return `/** \`enum ${type.name}\` */\nexport const ${constant(type.name)} = {\n${fields.join("\n")}\n} as const;\n`;
}

function render(types: readonly BtfType[]): string {
  const shared = types.filter((type) => type.name.startsWith("steer_"))
    .sort((left, right) => left.name < right.name ? -1 : 1);
  const parts = shared.flatMap((type) =>
    type.kind === "STRUCT" ? [struct(type)] : type.kind === "ENUM" ? [enumeration(type)] : []
  );
  return `// Generated from the BTF of ${OBJECT} by scripts/gen_bpf_layout.ts; do not edit.\n\n${parts.join("\n")}`;
}

const text = render(await readBtf(OBJECT));
if (Deno.args.includes("--check")) {
  if (await Deno.readTextFile(TARGET).catch(() => "") !== text) {
    console.error(`${TARGET} does not match ${OBJECT}: run scripts/dev bpf and commit the result`);
    Deno.exit(1);
  }
} else {
  await Deno.writeTextFile(TARGET, text);
}
