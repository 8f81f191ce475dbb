/**
 * Tells the workers where the sockets of all interfaces are, at the start and whenever that changes.
 *
 * @module
 */
import { createEndTables, type EndPlace, type EndTable, viewEndTables } from "../dataplane/end_table.ts";
import { Published, type Readers } from "../steering/published.ts";
import type { SteeredInterface } from "./interface.ts";

/** What is told of an interface. */
type Told = Pick<SteeredInterface, "places" | "queues">;

export class EndDirectory {
  readonly memory: SharedArrayBuffer;
  /** By end: queues in order, interface after interface. */
  readonly places: readonly EndPlace[];
  readonly #tables: Published<EndTable>;
  #openings = 0;

  constructor(private readonly interfaces: readonly Told[], private readonly workers: number, readers: Readers) {
    this.places = interfaces.flatMap((each, number) => each.places(number));
    this.memory = createEndTables(workers, this.places.length);
    this.#tables = new Published(viewEndTables(this.memory, this.places.length), readers);
  }

  /**
   * Tells of interfaces whose sockets were opened, or are to be closed. Of all others nothing changes.
   *
   * @param closing True before their sockets are closed.
   * @throws {SteerError} when a worker does not answer.
   */
  async publish(changed: readonly Told[], closing: boolean): Promise<void> {
    const idle = await this.#tables.idle();
    idle.copyFrom(this.#tables.current);
    let place = 0;
    for (const each of this.interfaces) {
      for (const queue of each.queues) {
        if (changed.includes(each)) this.#write(idle, place, closing ? undefined : queue);
        place++;
      }
    }
    this.#tables.flip();
  }

  /** Resolves when all workers serve the sockets that were told of last, and no others. */
  taken(): Promise<void> {
    return this.#tables.caughtUp();
  }

  #write(table: EndTable, place: number, queue: Told["queues"][number] | undefined): void {
    const opened = ++this.#openings;
    for (let worker = 0; worker < this.workers; worker++) {
      table.write(worker, place, opened, queue?.endOf(worker));
    }
  }
}
