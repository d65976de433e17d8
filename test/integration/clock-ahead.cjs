// Preloaded (`--require`) into a process whose clock is ahead: by CLOCK_AHEAD_MS, in all that JavaScript knows of time. So
// a rule's hour passes in seconds. Timers go on as they are.
const aheadMs = Number(process.env.CLOCK_AHEAD_MS ?? 0);
const RealDate = Date;

globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length === 0 ? [RealDate.now() + aheadMs] : given));
  }

  static now() {
    return RealDate.now() + aheadMs;
  }
};
