/**
 * Cost of the ring operations, per batch of 64 entries, over plain memory: `scripts/dev bench:micro`.
 */
import { ADDR_SHIFT, ConsumerRing, DESC_LENGTH, DESC_SHIFT, ProducerRing, type RingLayout } from "./ring.ts";
import { ChunkExchange, createQueueState } from "./chunks.ts";

const SIZE = 2048;
const BATCH = 64;

function ring(shift: number): { readonly words: Int32Array; readonly layout: RingLayout } {
  const layout = { producer: 0, consumer: 32, flags: 49, entries: 80, size: SIZE };
  return { words: new Int32Array(layout.entries + (SIZE << shift)), layout };
}

/** Both sides of one ring: what is submitted is taken, so it never fills up. */
function pair(shift: number): { readonly producer: ProducerRing; readonly consumer: ConsumerRing } {
  const { words, layout } = ring(shift);
  return { producer: new ProducerRing(words, layout), consumer: new ConsumerRing(words, layout) };
}

const desc = pair(DESC_SHIFT);

Deno.bench(`desc ring: submit and take ${BATCH}`, { group: "rings", baseline: true }, () => {
  const { producer, consumer } = desc;
  const reserved = producer.reserve(BATCH);
  const first = (producer.producer - reserved) | 0;
  for (let index = 0; index < reserved; index++) {
    const at = producer.descAt((first + index) | 0);
    producer.words[at] = index << 11;
    producer.words[at + DESC_LENGTH] = 64;
  }
  producer.submit();
  const taken = consumer.peek(BATCH);
  const from = (consumer.consumer - taken) | 0;
  let sum = 0;
  for (let index = 0; index < taken; index++) sum += consumer.words[consumer.descAt((from + index) | 0)]!;
  consumer.release();
  if (sum < 0) throw new Error("unreachable");
});

const fill = pair(ADDR_SHIFT);
const completion = pair(ADDR_SHIFT);
const exchange = new ChunkExchange(createQueueState(SIZE), fill.producer, completion.consumer, 2048, SIZE);

Deno.bench(`exchange: give ${BATCH} chunks back to the fill ring`, { group: "rings" }, () => {
  for (let chunk = 0; chunk < BATCH; chunk++) exchange.giveBack(chunk << 11);
  exchange.exchange();
  fill.consumer.peek(BATCH);
  fill.consumer.release();
});
