import type { Command } from 'commander'
import type { AddCommand } from '../command.ts'

/** `receipt show|verify`: who computed an answer, and what of it can be checked. */
export function addReceiptCommands(program: Command, add: AddCommand): void {
  const receipt = program
    .command('receipt')
    .description('the signed statements about answers: who computed what')
  const file = 'or in a file (raw, base64url, JSON or an export; - reads stdin)'
  add(receipt, {
    usage: 'show <key|file>',
    summary: `in words, the receipt of the stored answer with this response key, ${file}`,
    load: async () => (await import('./receipt.ts')).showReceipt,
  })
    .option('--key <key>', 'response key of the answer that is meant in an export')
    .option('--json', 'print JSON')
  add(receipt, {
    usage: 'verify <key|file>',
    summary: 'the same; exit code 5 with the reason unless every check passes',
    load: async () => (await import('./receipt.ts')).verifyReceiptOf,
  })
    .option('--key <key>', 'response key of the answer that is meant in an export')
    .option('--json', 'print JSON')
}
