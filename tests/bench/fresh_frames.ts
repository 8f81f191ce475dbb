/** Live frames as src/traffic/live_frames.ts sends them, for a receiver that changes frames in place. */
import { syscallError } from "../../src/ffi/errno.ts";
import { interfaceIndex, pinThread } from "../../src/ffi/libc.ts";
import {
  type BpfObjectHandle,
  closeObject,
  findMap,
  loadObject,
  programFd,
  setInitialValue,
  testRun,
} from "../../src/ffi/libbpf.ts";
import { buildFrame, type Endpoint } from "../../src/traffic/frames.ts";

const OBJECT = "build/bench/fresh_source.bpf.o";
const PROGRAM = "fresh_source";
const BATCH_FRAMES = 64;
const FIRST_PORT = 20_000;
/** As the program has them: numbers, then the headers of Ethernet, IPv4 and UDP. */
const PARAMETERS = { ifindex: 0, flows: 4, sourcePort: 8, headers: 10, size: 52 } as const;

export interface FreshFramesOptions {
  readonly interface: string;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  /** Source ports that take turns. */
  readonly flows: number;
  readonly payloadBytes: number;
}

export class FreshFrames implements Disposable {
  readonly #handle: BpfObjectHandle;
  readonly #program: number;
  readonly #frame: Uint8Array<ArrayBuffer>;

  private constructor(handle: BpfObjectHandle, frame: Uint8Array<ArrayBuffer>) {
    this.#handle = handle;
    this.#program = programFd(handle, PROGRAM);
    this.#frame = frame;
  }

  static async load(options: FreshFramesOptions): Promise<FreshFrames> {
    const { source, destination, flows, payloadBytes } = options;
    const { bytes } = buildFrame({
      source: { ...source, port: FIRST_PORT },
      destination,
      payload: new Uint8Array(payloadBytes),
      checksum: false,
    });
    const parameters = new Uint8Array(PARAMETERS.size);
    const view = new DataView(parameters.buffer);
    view.setUint32(PARAMETERS.ifindex, interfaceIndex(options.interface), true);
    view.setUint32(PARAMETERS.flows, flows, true);
    view.setUint16(PARAMETERS.sourcePort, FIRST_PORT, true);
    parameters.set(bytes.subarray(0, PARAMETERS.size - PARAMETERS.headers), PARAMETERS.headers);
    const handle = await loadObject(Deno.readFileSync(OBJECT), (object) => {
      setInitialValue(findMap(object, ".rodata"), parameters);
    });
    try {
      return new FreshFrames(handle, bytes);
    } catch (error) {
      closeObject(handle);
      throw error;
    }
  }

  /** Sends frames from a CPU, as fast as the interface takes them. @returns frames sent. */
  send(count: number, cpu: number): number {
    pinThread(cpu);
    const result = testRun(this.#program, { data: this.#frame, repeat: count, live: true, batchSize: BATCH_FRAMES });
    if (result < 0) throw syscallError("bpf_prog_test_run_opts", -result, "send live frames");
    return count;
  }

  [Symbol.dispose](): void {
    closeObject(this.#handle);
  }
}
