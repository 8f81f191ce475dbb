/**
 * Whether the kernel can give answers of local programs their port back, which action deliver needs.
 *
 * @module
 */
import { type Circumstances, type MachineCheck, ok, problem, type Verdict, warning } from "../host/question.ts";
import { kernelOptions, kernelVersionIsAtLeast } from "./machine.ts";

export const DELIVERY_CHECK: MachineCheck = {
  check: "deliver.tc",
  explains: ["EINVAL", "ENOENT", "EOPNOTSUPP"],
  look: ({ rules }: Circumstances) =>
    rules?.steering.some(({ action }) => action.kind === "deliver") ? judgeTc(kernelOptions(), hasTcx()) : undefined,
};

/** Of Linux 6.6. */
const TCX_OPTION = "NET_XGRESS";
const CLSACT_OPTIONS = ["NET_SCH_INGRESS", "NET_CLS_BPF", "NET_CLS_ACT"] as const;

function hasTcx(): boolean {
  return kernelVersionIsAtLeast([6, 6]);
}

/** @param options That the kernel was built with; undefined where it does not tell. @param tcx Whether it is so new. */
export function judgeTc(options: ReadonlySet<string> | undefined, tcx: boolean): Verdict {
  const text = "a rule delivers to a program of this box";
  if (options === undefined) {
    if (tcx) return ok(`${text}, and the kernel is new enough for tcx`);
    return warning(`${text}, and whether the kernel has clsact and BPF filters is not known`);
  }
  if (tcx && options.has(TCX_OPTION)) return ok(`${text}, and the kernel has tcx`);
  const missing = CLSACT_OPTIONS.filter((name) => !options.has(name)).map((name) => `CONFIG_${name}=y`);
  if (missing.length === 0) return ok(`${text}, and the kernel has clsact and BPF filters`);
  return problem(
    `${text}, and the kernel cannot give its answers their port back: it has neither tcx nor ${missing.join(", ")}`,
    "boot Linux 6.6 or newer; or have the program listen on the listed port, with action: pass",
  );
}
