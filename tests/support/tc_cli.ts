/**
 * Attaches the program for answers to what leaves by an interface, in whatever way is asked for, and ends without
 * detaching it, as a process that is killed does. For a namespace of its own.
 *
 *     deno run -A tests/support/tc_cli.ts attach|attach-and-close WAY INTERFACE
 *
 * @module
 */
import { AnswerProgram } from "../../src/bpf/answer_program.ts";
import { SteeringProgram } from "../../src/bpf/program.ts";
import type { TcWay } from "../../src/bpf/tc_link.ts";
import { interfaceIndex } from "../../src/ffi/libc.ts";

if (import.meta.main) {
  const [verb, way, name] = Deno.args;
  const steering = await SteeringProgram.load({ workerCount: 1, queueLimit: 1 });
  const answers = await AnswerProgram.load(steering);
  const link = answers.attach(interfaceIndex(name!), name!, [way as TcWay]);
  if (!link.isAttached) throw new Error("It says that it is not attached");
  if (verb === "attach-and-close") link.close();
}
