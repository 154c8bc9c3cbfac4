import type { WireFormat } from '../wire-format.ts'
import { encodeReply } from './encode-reply.ts'
import { openStream } from './encode-stream.ts'
import { parseMessages } from './parse-messages.ts'

/** Anthropic's `/v1/messages`. */
export const messages: WireFormat = {
  api: 'messages',
  parse: parseMessages,
  encodeReply,
  openStream,
}
