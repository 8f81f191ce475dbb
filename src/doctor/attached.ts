/**
 * The XDP program that sits on an interface already, and who holds it there.
 *
 * @module
 */
import { attachmentOf, linkHolders, removeCommand } from "../bpf/attachment.ts";
import type { InterfaceConfig } from "../config/schema.ts";
import { interfaceIndex } from "../ffi/libc.ts";
import { hasCapability } from "../host/privileges.ts";
import { type Circumstances, type InterfaceCheck, ok, problem, type Verdict, warning } from "../host/question.ts";

export const ATTACHED_CHECK: InterfaceCheck = {
  check: "interface.attached",
  explains: ["EBUSY", "EEXIST"],
  look: attached,
};

/** Ours, as the kernel keeps its name: cut to 15 characters. */
const OWN_PROGRAM = "xdp_port_redirect".slice(0, 15);

export function isOccupied(name: string): boolean {
  return attachmentOf(interfaceIndex(name)) !== undefined;
}

function attached({ name }: InterfaceConfig, { starting }: Circumstances): Verdict {
  const attachment = attachmentOf(interfaceIndex(name));
  if (attachment === undefined) return ok("no XDP program is attached");
  const { mode, programId, program, link } = attachment;
  if (!hasCapability("SYS_ADMIN")) {
    // Of root, run keeps too little to know, and doctor enough.
    const isRoot = Deno.uid() === 0;
    const who = isRoot ? "doctor knows whose" : "only root may know whose";
    const text = `an XDP program is attached (id ${programId}, ${mode} mode): ${who}`;
    return (starting ? problem : warning)(text, `${isRoot ? "" : "sudo "}xdpsteer doctor --interface ${name}`);
  }
  const holders = linkHolders(link);
  const who = holders.map(({ pid, command }) => `, held by process ${pid} (${command})`).join("");
  const what = `(id ${programId}, ${mode} mode${who})`;
  // Without --stop or --force it ends nothing: it says who holds the program, and what each of the two would do.
  const ask = `xdpsteer detach --interface ${name}`;
  if (program === OWN_PROGRAM && link !== undefined) {
    const text = `a running xdpsteer steers this interface ${what}`;
    const how =
      "xdpsteer status shows what it does, xdpsteer reload changes it; how to end it, this says and does not do";
    return starting ? problem(`${text}: ${how}`, ask) : ok(text);
  }
  const text = `the XDP program ${program === "" ? "" : `"${program}" `}sits on the interface already ${what}`;
  return problem(text, link === undefined ? removeCommand(name, attachment) : ask);
}
