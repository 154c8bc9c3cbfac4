import { type PeerId, parsePeerId } from '../../../key/peer-id.ts'
import { parseSwarmTag, type SwarmTag } from '../../../key/scope.ts'
import { blockIndexMax } from '../../../limits.ts'

/** Who computed a block of KV state, and whether its rows are known to be right. */
export type BlockOrigin =
  /** Computed here, from its first token on. */
  | { readonly type: 'own' }
  /**
   * `peer`: a peer sent it, in one of its runs. `based`: computed here, on top of such a run, and
   * therefore as good as that. Served onward only once an audit agreed that drew from all of the
   * run that it rests on.
   */
  | {
      readonly type: 'peer' | 'based'
      readonly issuer: PeerId
      readonly run: RunId
      /** Index of the last block of the run that it rests on: its own for `peer`. */
      readonly upTo: number
      readonly isAudited: boolean
    }

/** An origin that is another node's word. */
export type ForeignOrigin = Exclude<BlockOrigin, { readonly type: 'own' }>

/** Names one stretch of blocks that one issuer sent for one prompt: 16 hex digits. */
export type RunId = string

export const ownOrigin: BlockOrigin = { type: 'own' }

/** Whether nobody has to be believed for the rows to be right. */
export function isTrusted(origin: BlockOrigin): boolean {
  return origin.type === 'own' || origin.isAudited
}

/** What this node keeps beside a sealed block of its own. */
export interface BlockNote {
  readonly origin: BlockOrigin
  /** 0-based position in its prompt. */
  readonly index: number
  /** The swarm whose members may have it; absent: nobody but this node. */
  readonly swarm?: SwarmTag
}

const version = 1
const runForm = /^[0-9a-f]{16}$/

/** A JSON list: [1, index, swarm or "", type], then for peers' issuer, run, upTo, audited. */
export function encodeNote({ origin, index, swarm = '' as SwarmTag }: BlockNote): Uint8Array {
  const fields: unknown[] = [version, index, swarm, origin.type]
  if (origin.type !== 'own') {
    fields.push(origin.issuer, origin.run, origin.upTo, origin.isAudited)
  }
  return Buffer.from(JSON.stringify(fields))
}

/** Undefined for what is no note of this version: its block is not used. */
export function decodeNote(bytes: Uint8Array): BlockNote | undefined {
  let fields: unknown
  try {
    fields = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined
  }
  if (!Array.isArray(fields) || fields[0] !== version) return undefined
  const [, index, swarmText, type, ...told] = fields as readonly unknown[]
  if (!isIndex(index)) return undefined
  const origin = originOf(index, type, told)
  if (origin === undefined || typeof swarmText !== 'string') return undefined
  if (swarmText === '') return { origin, index }
  const swarm = parseSwarmTag(swarmText)
  return swarm === undefined ? undefined : { origin, index, swarm }
}

function originOf(index: number, type: unknown, told: readonly unknown[]): BlockOrigin | undefined {
  if (type === 'own') return told.length === 0 ? ownOrigin : undefined
  if ((type !== 'peer' && type !== 'based') || told.length !== 4) return undefined
  const [issuerText, run, upTo, isAudited] = told
  const issuer = typeof issuerText === 'string' ? parsePeerId(issuerText) : undefined
  if (issuer === undefined || typeof run !== 'string' || !runForm.test(run)) return undefined
  if (!isIndex(upTo) || upTo > index || (type === 'peer' && upTo !== index)) return undefined
  return typeof isAudited === 'boolean' ? { type, issuer, run, upTo, isAudited } : undefined
}

function isIndex(value: unknown): value is number {
  return (
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= blockIndexMax
  )
}
