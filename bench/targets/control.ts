/**
 * Loaded into every server under test with `--import`: answers the bench's questions over the IPC
 * channel, so that a product we do not own is measured in the same way as ours.
 */
process.on('message', message => {
  if (message !== 'cpu') return
  const { user, system } = process.cpuUsage()
  process.send?.({ cpuMicros: user + system, residentBytes: process.memoryUsage.rss() })
})
// The bench may be killed: then its servers must not live on.
process.on('disconnect', () => process.exit())
// The channel alone keeps no server alive that has stopped.
process.channel?.unref()
