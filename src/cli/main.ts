import { ifStillRunning } from '../std/clock.ts'
import { runCli } from './program.ts'
import { systemTerminal } from './terminal.ts'

const terminal = systemTerminal()
// Not process.exit(): what is still in the pipes of stdout would be lost.
const code = await runCli(process.argv.slice(2), terminal)
process.exitCode = code
// Now and then a broken WebRTC connection leaves something native behind (libdatachannel 0.33) that
// keeps a process which has nothing left to do.
ifStillRunning(10_000, () => terminal.exitNow(code))
