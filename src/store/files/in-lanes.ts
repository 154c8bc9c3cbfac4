/** Works through items, so many at once; after a failure no other is begun. */
export async function inLanes<Item>(
  items: readonly Item[],
  lanes: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  // One iterator for all: each lane takes what is next.
  const queue = items.values()
  let isFailed = false
  const lane = async (): Promise<void> => {
    for (let next = queue.next(); !next.done && !isFailed; next = queue.next()) {
      await work(next.value)
    }
  }
  const all = Array.from({ length: lanes }, async () => {
    try {
      await lane()
    } catch (error) {
      isFailed = true
      throw error
    }
  })
  for (const outcome of await Promise.allSettled(all)) {
    if (outcome.status === 'rejected') throw outcome.reason
  }
}
