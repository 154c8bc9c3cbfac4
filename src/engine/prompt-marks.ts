import { OperationError } from '../errors.ts'
import type { PromptTokens } from '../interface/engine.ts'
import {
  type CacheMark,
  type CompletionRequest,
  type Message,
  textOf,
} from '../key/completion-request.ts'
import { cacheMarksMax } from '../limits.ts'
import { commonPrefix } from './common-prefix.ts'

/** The tokens that an engine makes of a request. @throws OperationError for what it refuses */
export type TokensOf = (request: CompletionRequest) => Promise<readonly number[]>

/**
 * The tokens of a request's prompt, and how many of them its parts decide. A template may put the
 * parts anywhere and merge letters across their borders, so nothing is assumed of it: what a part
 * decides is the common prefix of the prompt with that of a request that ends, or goes on
 * otherwise, behind the part. So a count may fall short, but is never too large.
 *
 * @throws what `tokensOf` does for the request itself
 */
export async function measurePrompt(
  tokensOf: TokensOf,
  request: CompletionRequest,
): Promise<PromptTokens> {
  const tokenIds = await tokensOf(request)
  const marks = request.cache?.marks ?? []
  if (request.kind === 'text') return { tokenIds, headTokens: 0, markTokens: marks.map(() => 0) }
  const shared: Shared = async variant =>
    commonPrefix(tokenIds, await tokensOrNone(tokensOf, { ...request, ...variant }))
  const head = headMessages(request)
  const hasHead = head.length > 0 || request.tools.length > 0
  const headTokens = hasHead ? await shared({ messages: goneOn(request, head) }) : 0
  const measure = async (mark: CacheMark): Promise<number> => {
    if (mark.after === 'tools') return await toolTokens(request, headTokens, shared)
    const messages = cutAfter(request.messages, mark)
    if (messages === undefined) return 0
    if (messages === request.messages) return tokenIds.length
    const isHead = messages.length <= head.length
    return await shared({ messages: isHead ? goneOn(request, messages) : messages })
  }
  // The last ones reach furthest.
  const skipped = Math.max(0, marks.length - cacheMarksMax)
  const markTokens = await Promise.all(
    marks.map((mark, index) => (index < skipped ? 0 : measure(mark))),
  )
  return { tokenIds, headTokens, markTokens }
}

/** How many leading tokens the request shares with a variant of itself. */
type Shared = (variant: Partial<CompletionRequest>) => Promise<number>

/** The messages before the conversation begins. */
function headMessages({ messages }: CompletionRequest): readonly Message[] {
  const end = messages.findIndex(({ role }) => role !== 'system' && role !== 'developer')
  return end === -1 ? messages : messages.slice(0, end)
}

/**
 * The messages before the conversation, and one of the user that differs from its first letter on:
 * some templates refuse a request without one.
 */
function goneOn({ messages }: CompletionRequest, kept: readonly Message[]): readonly Message[] {
  const next = messages[kept.length]
  const isA = next !== undefined && textOf(next.content).trimStart().startsWith('A')
  return [...kept, { role: 'user', content: [{ type: 'text', text: isA ? 'B' : 'A' }] }]
}

/** All up to the marked part; the same list when nothing follows; undefined when there is none. */
function cutAfter(
  messages: readonly Message[],
  mark: { readonly message: number; readonly part?: number },
): readonly Message[] | undefined {
  const marked = messages[mark.message]
  if (marked === undefined) return undefined
  const { part } = mark
  if (part !== undefined && marked.content[part] === undefined) return undefined
  const content = part === undefined ? marked.content : marked.content.slice(0, part + 1)
  const isWhole = content.length === marked.content.length
  if (isWhole && mark.message === messages.length - 1) return messages
  return [...messages.slice(0, mark.message), isWhole ? marked : { ...marked, content }]
}

/**
 * Where the tools end. Templates that put them behind the system text make one thing of both: then
 * it is where the whole head ends.
 */
async function toolTokens(
  request: CompletionRequest,
  headTokens: number,
  shared: Shared,
): Promise<number> {
  if (request.tools.length === 0) return 0
  const [first, ...others] = request.messages
  const isSystem = first?.role === 'system' || first?.role === 'developer'
  if (first === undefined || !isSystem) return headTokens
  const isA = textOf(first.content).trimStart().startsWith('A')
  const content = [{ type: 'text' as const, text: isA ? 'B' : 'A' }]
  const [untilSystem, untilTools] = await Promise.all([
    shared({ messages: [{ ...first, content }, ...others] }),
    shared({ tools: [] }),
  ])
  return untilSystem > untilTools ? untilSystem : headTokens
}

/** Of a variant that the template may refuse: then it has none in common with the prompt. */
async function tokensOrNone(
  tokensOf: TokensOf,
  variant: CompletionRequest,
): Promise<readonly number[]> {
  try {
    return await tokensOf(variant)
  } catch (error) {
    if (error instanceof OperationError) return []
    throw error
  }
}
