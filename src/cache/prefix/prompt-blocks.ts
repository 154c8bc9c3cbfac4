import type { BlockIdentity } from '../../interface/block-codec.ts'
import type { EngineModel, PromptAccess, PromptTokens } from '../../interface/engine.ts'
import type { StateAccess } from '../../interface/kv-state.ts'
import {
  type BlockHash,
  blockHashes,
  blockLookupKey,
  blockRoot,
  kindFault,
  type StateKind,
} from '../../key/block-hash.ts'
import type { LookupKey } from '../../key/response-key.ts'
import type { Scope } from '../../key/scope.ts'
import { blockTokens } from '../../key/state-layout.ts'
import { assert } from '../../std/assert.ts'
import { afterThisTurn } from '../../std/turn.ts'

/** A prompt cut into blocks: what each is called, and what it must agree with. */
export interface PromptBlocks {
  readonly kind: StateKind
  /** What the first block is named after. */
  readonly root: BlockHash
  readonly tokenIds: readonly number[]
  /** Of all whole blocks, first to last. */
  readonly hashes: readonly BlockHash[]
  /** The same as stores and peers know them. */
  readonly keys: readonly LookupKey[]
  /** Most blocks that a generation may take over: the prompt's last token is always computed. */
  readonly usableMax: number
}

/** One block of a prompt. */
export interface PromptBlock extends BlockIdentity {
  readonly key: LookupKey
}

/** How to get at a model's KV state, or why there is none. Cheap: an engine's layout is checked. */
export function stateOf(
  model: EngineModel,
):
  | { readonly access: PromptAccess; readonly state: StateAccess }
  | { readonly unavailable: string } {
  const access = model.tokens ?? model.slots
  if (access === undefined) return { unavailable: 'its engine gives no access to KV state' }
  const { state } = access
  if ('unavailable' in state) return state
  const fault = kindFault({ numericClass: model.numericClass, layout: state.layout })
  return fault === undefined ? { access, state } : { unavailable: fault }
}

/** Blocks that are named in one turn of the event loop: 2 to 3 ms. */
const namedPerTurn = 512

/** Names a prompt's blocks, with turns for others in between: those of 10^6 tokens take 40 ms. */
export async function blocksOf(
  { tokenIds }: PromptTokens,
  model: Pick<EngineModel, 'numericClass'>,
  { layout }: Pick<StateAccess, 'layout'>,
  scope: Scope,
): Promise<PromptBlocks> {
  const kind = { numericClass: model.numericClass, layout }
  const root = blockRoot(scope, kind)
  const hashes: BlockHash[] = []
  const keys: LookupKey[] = []
  const tokensPerTurn = namedPerTurn * blockTokens
  for (let start = 0; start < tokenIds.length; start += tokensPerTurn) {
    if (start > 0) await new Promise<void>(afterThisTurn)
    const part = tokenIds.slice(start, start + tokensPerTurn)
    const named = blockHashes(hashes.at(-1) ?? root, part)
    hashes.push(...named)
    keys.push(...named.map(blockLookupKey))
  }
  const usableMax = Math.floor(Math.max(0, tokenIds.length - 1) / blockTokens)
  return { kind, root, tokenIds, hashes, keys, usableMax }
}

export function blockAt(blocks: PromptBlocks, index: number): PromptBlock {
  const hash = blocks.hashes[index]
  const key = blocks.keys[index]
  assert(hash !== undefined && key !== undefined, 'The prompt has the block')
  const tokenIds = blocks.tokenIds.slice(index * blockTokens, (index + 1) * blockTokens)
  return { hash, key, kind: blocks.kind, index, tokenIds }
}
