import type { ErrorCode } from '../errors.ts'
import type { ProtocolName } from '../interface/network.ts'

/** What the two ends of a simulated connection say. The asker numbers its requests and streams. */
export type Frame = AskerFrame | AnswererFrame

/** `take`: the reader took a message, one more may come. */
export type AskerFrame =
  | {
      readonly type: 'request'
      readonly id: number
      readonly protocol: ProtocolName
      readonly body: Uint8Array
    }
  | {
      readonly type: 'open'
      readonly id: number
      readonly protocol: ProtocolName
      readonly body: Uint8Array
      /** Messages that may come before one is taken. */
      readonly ahead: number
    }
  | { readonly type: 'cancel' | 'take'; readonly id: number }

export type AnswererFrame =
  | { readonly type: 'reply' | 'message'; readonly id: number; readonly body: Uint8Array }
  | { readonly type: 'end'; readonly id: number }
  | { readonly type: 'failure'; readonly id: number; readonly code: ErrorCode }

/** What a frame adds to its body, about as on a real wire with TLS. */
const frameOverheadBytes = 48

export function frameBytes(frame: Frame): number {
  return frameOverheadBytes + ('body' in frame ? frame.body.length : 0)
}
