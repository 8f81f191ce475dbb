/** What the appliance told us: its last words, and the last five minutes. */

const SAMPLES_KEPT = 300;
const EVENTS_KEPT = 200;

export class Model {
  hello;
  config;
  tick;
  /** Newest last. */
  events = [];
  /** Seconds since 1970. */
  times = [];
  /** Packets per second: rule name to numbers, as many as times. */
  ruleRates = new Map();
  /** By worker. */
  workerRates = [];
  /** By reason, and percent busy by worker. */
  reasonRates = [];
  busy = [];

  setHello(hello) {
    if (this.hello?.pid !== hello.pid) this.events = [];
    this.hello = hello;
    const { past } = hello;
    this.times = past.times.map((time) => time / 1000);
    this.ruleRates = new Map(Object.entries(past.rules));
    this.workerRates = past.workers;
    this.reasonRates = past.reasons;
    this.busy = past.busyPercent;
  }

  /** What a tick says of rules is in the order of the configuration, so the last one tells nothing more. */
  setConfig(config) {
    this.config = config;
    this.tick = undefined;
    const names = new Set(config.rules.map(({ name }) => name));
    for (const name of this.ruleRates.keys()) if (!names.has(name)) this.ruleRates.delete(name);
  }

  addEvent(event) {
    if (this.events.some(({ id }) => id === event.id)) return false;
    this.events.push(event);
    if (this.events.length > EVENTS_KEPT) this.events.shift();
    return true;
  }

  setTick(tick) {
    this.tick = tick;
    const time = tick.time / 1000;
    if (this.times.length > 0 && time <= this.times.at(-1)) return;
    const before = this.times.length;
    this.times.push(time);
    this.config.rules.forEach(({ name }, index) => {
      const rate = tick.rules[index]?.[3] ?? 0;
      if (!this.ruleRates.has(name)) {
        if (rate === 0) return;
        this.ruleRates.set(name, new Array(before).fill(0));
      }
      this.ruleRates.get(name).push(rate);
    });
    const rates = workerRates(this.hello, tick);
    this.workerRates.forEach((series, worker) => series.push(rates[worker]));
    this.reasonRates.forEach((series, index) => series.push(tick.reasons[index][1]));
    this.busy.forEach((series, worker) => series.push(tick.workers[worker].busyPercent));
    if (this.times.length > SAMPLES_KEPT) {
      const kept = [this.ruleRates.values(), this.workerRates, this.reasonRates, this.busy];
      for (const series of [this.times, ...kept.flatMap((all) => [...all])]) series.shift();
    }
  }

  /** Indexes of the rules with the most packets in the last minutes, in the order of the configuration. */
  busiestRules(limit) {
    return this.config.rules
      .map(({ name }, index) => ({ index, sum: (this.ruleRates.get(name) ?? []).reduce((sum, rate) => sum + rate, 0) }))
      .sort((left, right) => right.sum - left.sum || left.index - right.index)
      .slice(0, limit)
      .map(({ index }) => index)
      .sort((left, right) => left - right);
  }

  /** Packets of a rule, whatever became of them. */
  rulePackets(index) {
    const [received, dropped, passed] = this.tick.rules[index];
    return received + dropped + passed;
  }

  /** Queues with their interface, in the order of the counters. */
  places() {
    return this.hello.interfaces.flatMap(({ name, queues }) =>
      queues.map(({ id }) => ({ interface: name, queue: id }))
    );
  }

  /** Sum over reasons that fit: [packets, per second]. */
  sumReasons(fits) {
    const sum = [0, 0];
    this.hello.reasons.forEach((reason, index) => {
      if (!fits(reason)) return;
      sum[0] += this.tick.reasons[index][0];
      sum[1] += this.tick.reasons[index][1];
    });
    return sum;
  }
}

function workerRates({ workers }, { places }) {
  const queueEnds = places.length / workers.length;
  return workers.map((_, worker) =>
    places.slice(worker * queueEnds, (worker + 1) * queueEnds).reduce((sum, [, rate]) => sum + rate, 0)
  );
}
