import { runCli } from './program.ts'
import { systemTerminal } from './terminal.ts'

// Not process.exit(): what is still in the pipes of stdout would be lost.
process.exitCode = await runCli(process.argv.slice(2), systemTerminal())
