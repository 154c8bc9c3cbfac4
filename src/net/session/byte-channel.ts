/**
 * A stream of bytes to one peer: what sessions and stream calls need of a transport. Listeners are
 * set once, before the first byte is awaited.
 */
export interface ByteChannel {
  readonly isOpen: boolean
  /** Takes the bytes in any case; `false` asks to wait for `drained` before sending more. */
  send(bytes: Uint8Array): boolean
  /** Resolves when more may be sent, or when the channel has closed. */
  drained(): Promise<void>
  listen(listeners: ByteChannelListeners): void
  /** Ends the sending side once all has been sent; the other side may still send. */
  close(): Promise<void>
  /** Ends both sides now. */
  abort(error: Error): void
}

export interface ByteChannelListeners {
  onBytes(bytes: Uint8Array): void
  /** Once; nothing comes after it. */
  onClose(): void
}
