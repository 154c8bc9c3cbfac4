/** Runs calls one at a time, in the order in which they were asked for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  run<Result>(call: () => Promise<Result>): Promise<Result> {
    const run = this.#last.then(call)
    // Whoever asked owns the failure; whoever comes next only waits.
    this.#last = run.catch(() => undefined)
    return run
  }

  /** Resolves when everything that was asked for has ended. */
  async idle(): Promise<void> {
    await this.#last
  }
}
