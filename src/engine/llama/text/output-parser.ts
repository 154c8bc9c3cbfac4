import { longestPartial } from './stop-strings.ts'
import {
  isCompleteJson,
  type ParsedCall,
  parseToolCall,
  parseToolCalls,
} from './tool-call-parser.ts'

export type OutputPart =
  | { readonly type: 'text' | 'reasoning'; readonly text: string }
  | ({ readonly type: 'tool-call' } & ParsedCall)

/** How a model writes tool calls: in `<tool_call>` tags, or as a bare JSON answer. */
export type ToolFormat = 'hermes' | 'llama3'
/** `open`: the prompt ends inside `<think>`; `possible`: the answer may begin with it. */
export type ReasoningMarks = 'none' | 'possible' | 'open'

export interface OutputParserOptions {
  readonly reasoning: ReasoningMarks
  /** Undefined: tool calls are not looked for. */
  readonly toolFormat: ToolFormat | undefined
  /** A bare JSON object is a call only if it names one of these. */
  readonly toolNames: ReadonlySet<string>
}

export const thinkOpen = '<think>'
export const thinkClose = '</think>'
export const callOpen = '<tool_call>'
export const callClose = '</tool_call>'
export const pythonTag = '<|python_tag|>'

/**
 * - `opening`: only white space came, and it may become reasoning, a bare call or text
 * - `reasoning`: inside `<think>`
 * - `text`: the answer
 * - `tagged`: inside `<tool_call>`
 * - `bare`: all that follows should be calls as Llama 3 writes them
 */
type State = 'opening' | 'reasoning' | 'text' | 'tagged' | 'bare'

/**
 * Splits a model's output into reasoning, text and tool calls while it arrives: a pure state
 * machine whose parts do not depend on how the text was cut. A call comes out when it is complete;
 * what turns out to be no call comes out as text, nothing is lost. White space around reasoning and
 * beside calls is dropped.
 */
export class OutputParser {
  readonly #options: OutputParserOptions
  #state: State
  #mayReason: boolean
  #dropsSpace = false
  #isReasoningBegun = false
  /** Text that is not decided. In `tagged` and `bare` it begins with what led there. */
  #held = ''
  #parts: OutputPart[] = []

  constructor(options: OutputParserOptions) {
    this.#options = options
    this.#state = options.reasoning === 'open' ? 'reasoning' : 'opening'
    this.#mayReason = options.reasoning === 'possible'
  }

  /** Whether the model is thinking at this point. */
  get isReasoning(): boolean {
    return this.#state === 'reasoning'
  }

  push(text: string): readonly OutputPart[] {
    this.#held += text
    while (this.#step());
    return this.#takeParts()
  }

  /** What is left once no more text comes. */
  end(): readonly OutputPart[] {
    const held = this.#held
    this.#held = ''
    if (this.#state === 'reasoning') this.#emitReasoning(held)
    else if (this.#state === 'tagged') this.#endTagged(held)
    else if (this.#state === 'bare') this.#endBare(held)
    else this.#emitText(held)
    return this.#takeParts()
  }

  /** Decides what can be decided. True: the state changed, look again. */
  #step(): boolean {
    if (this.#state === 'opening') return this.#stepOpening()
    if (this.#state === 'reasoning') return this.#stepReasoning()
    if (this.#state === 'text') return this.#stepText()
    return this.#state === 'tagged' && this.#stepTagged()
  }

  #stepOpening(): boolean {
    const rest = this.#held.trimStart()
    if (this.#mayReason && rest.startsWith(thinkOpen)) {
      this.#held = rest.slice(thinkOpen.length)
      this.#state = 'reasoning'
      return true
    }
    if (this.#mayReason && thinkOpen.startsWith(rest)) return false
    if (rest === '') return false
    if (this.#options.toolFormat === 'llama3') {
      if (rest.startsWith('{') || rest.startsWith(pythonTag)) this.#state = 'bare'
      if (this.#state === 'bare' || pythonTag.startsWith(rest)) return false
    }
    this.#state = 'text'
    return true
  }

  #stepReasoning(): boolean {
    const end = this.#held.indexOf(thinkClose)
    if (end === -1) {
      const decided = withoutPartial(this.#held, thinkClose).trimEnd()
      this.#emitReasoning(decided)
      this.#held = this.#held.slice(decided.length)
      return false
    }
    this.#emitReasoning(this.#held.slice(0, end))
    this.#held = this.#held.slice(end + thinkClose.length)
    this.#reopen()
    return true
  }

  #stepText(): boolean {
    if (this.#options.toolFormat !== 'hermes') {
      this.#emitText(this.#held)
      this.#held = ''
      return false
    }
    const start = this.#held.indexOf(callOpen)
    const before = start === -1 ? withoutPartial(this.#held, callOpen) : this.#held.slice(0, start)
    // The space before a call is kept back: it is text again if the call turns out to be none.
    const decided = before.trimEnd()
    this.#emitText(decided)
    this.#held = this.#held.slice(decided.length)
    if (start !== -1) this.#state = 'tagged'
    return start !== -1
  }

  #stepTagged(): boolean {
    const body = this.#held.indexOf(callOpen) + callOpen.length
    for (
      let close = this.#held.indexOf(callClose, body);
      close !== -1;
      close = this.#held.indexOf(callClose, close + 1)
    ) {
      const inner = this.#held.slice(body, close)
      const call = parseToolCall(inner)
      // A closing tag inside a string of the arguments does not close the call.
      if (call === undefined && !isCompleteJson(inner)) continue
      const end = close + callClose.length
      if (call === undefined) this.#emitText(this.#held.slice(0, end))
      else this.#parts.push({ type: 'tool-call', ...call })
      this.#held = this.#held.slice(end)
      if (call === undefined) this.#state = 'text'
      else this.#reopen()
      return true
    }
    return false
  }

  /** The model ended, or was cut off, inside the tag. */
  #endTagged(held: string): void {
    const body = held.indexOf(callOpen) + callOpen.length
    const call = parseToolCall(withoutPartial(held.slice(body), callClose))
    if (call === undefined) this.#emitText(held)
    else this.#parts.push({ type: 'tool-call', ...call })
  }

  #endBare(held: string): void {
    const rest = held.trimStart()
    const calls = parseToolCalls(rest.startsWith(pythonTag) ? rest.slice(pythonTag.length) : rest)
    if (calls?.every(call => this.#options.toolNames.has(call.name)) !== true) {
      this.#emitText(held)
      return
    }
    for (const call of calls) this.#parts.push({ type: 'tool-call', ...call })
  }

  /** After reasoning or a call: what follows begins anew, without its leading white space. */
  #reopen(): void {
    this.#state = 'opening'
    this.#mayReason = false
    this.#dropsSpace = true
  }

  #emitReasoning(text: string): void {
    const trimmed = (this.#isReasoningBegun ? text : text.trimStart()).trimEnd()
    if (trimmed === '') return
    this.#isReasoningBegun = true
    this.#parts.push({ type: 'reasoning', text: trimmed })
  }

  #emitText(text: string): void {
    const trimmed = this.#dropsSpace ? text.trimStart() : text
    if (trimmed === '') return
    this.#dropsSpace = false
    this.#parts.push({ type: 'text', text: trimmed })
  }

  #takeParts(): readonly OutputPart[] {
    const parts = this.#parts
    this.#parts = []
    return parts
  }
}

function withoutPartial(text: string, mark: string): string {
  return text.slice(0, text.length - longestPartial(text, [mark]))
}
