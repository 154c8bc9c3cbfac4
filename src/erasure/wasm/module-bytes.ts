import { type Code, unsigned } from './instructions.ts'

/** A function without a result. Its parameters are the first locals. */
export interface FunctionCode {
  readonly name: string
  readonly i32Parameters: number
  /** Further locals: first those of 32-bit numbers, then those of vectors. */
  readonly i32Locals: number
  readonly v128Locals: number
  readonly body: Code
}

const i32 = 0x7f
const v128 = 0x7b

/**
 * The bytes of a module (WebAssembly specification 3.0, §5.5) that exports its functions, and its
 * memory as `memory`. Imports nothing: it can do no more than compute.
 */
export function moduleBytes(functions: readonly FunctionCode[], memoryPages: number): Uint8Array {
  const magicAndVersion = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]
  const types = functions.map(({ i32Parameters }) => [
    0x60,
    ...list(Array.from({ length: i32Parameters }, () => [i32])),
    ...list([]),
  ])
  const exported = [
    [...text('memory'), 0x02, 0x00],
    ...functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)]),
  ]
  return Uint8Array.from([
    ...magicAndVersion,
    ...section(1, list(types)),
    // Each function has a type of its own, under its own number.
    ...section(3, list(functions.map((_, index) => unsigned(index)))),
    ...section(5, list([[0x00, ...unsigned(memoryPages)]])),
    ...section(7, list(exported)),
    ...section(10, list(functions.map(bodyOf))),
  ])
}

function bodyOf({ i32Locals, v128Locals, body }: FunctionCode): Code {
  const locals = list([
    [...unsigned(i32Locals), i32],
    [...unsigned(v128Locals), v128],
  ])
  return sized([...locals, ...body, 0x0b])
}

function section(id: number, content: Code): Code {
  return [id, ...sized(content)]
}

function text(value: string): Code {
  return sized([...Buffer.from(value)])
}

function list(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()]
}

function sized(content: Code): Code {
  return [...unsigned(content.length), ...content]
}
