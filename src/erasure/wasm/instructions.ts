/**
 * The few WebAssembly instructions that the kernels are made of, as bytes (WebAssembly
 * specification 3.0, §5.4). Each takes its operands from the stack, in the order in which they were
 * put there.
 */
export type Code = readonly number[]

export function localGet(local: number): Code {
  return [0x20, ...unsigned(local)]
}
export function localSet(local: number): Code {
  return [0x21, ...unsigned(local)]
}
/** Sets a local and leaves the value on the stack. */
export function localTee(local: number): Code {
  return [0x22, ...unsigned(local)]
}

export function i32Const(value: number): Code {
  return [0x41, ...signed(value)]
}
export const i32Add: Code = [0x6a]
/** Whether the first of two unsigned numbers is less. */
export const i32LessThan: Code = [0x49]

/** All 16 bytes alike. */
export function v128Const(byte: number): Code {
  return [0xfd, ...unsigned(12), ...Array<number>(16).fill(byte)]
}
/** 16 bytes from `offset` behind an address. */
export function v128Load(offset: number): Code {
  return [0xfd, ...unsigned(0), alignment, ...unsigned(offset)]
}
export function v128Store(offset: number): Code {
  return [0xfd, ...unsigned(11), alignment, ...unsigned(offset)]
}
export const v128And: Code = [0xfd, ...unsigned(78)]
export const v128Xor: Code = [0xfd, ...unsigned(81)]
/** Shifts each 16-bit lane to the right. */
export const i16x8ShiftRight: Code = [0xfd, ...unsigned(141)]
/** Looks bytes up in a table of 16: those of the first operand at the indices of the second. */
export const i8x16Swizzle: Code = [0xfd, ...unsigned(14)]
/** The same; what indices above 15 give is the machine's choice, which saves an instruction. */
export const i8x16RelaxedSwizzle: Code = [0xfd, ...unsigned(256)]

/** Runs `body`; again, as long as it leaves a number other than zero on the stack. */
export function loopWhile(body: Code): Code {
  return [0x03, 0x40, ...body, 0x0d, 0x00, 0x0b]
}

/** 2⁴ bytes: a promise that only speed depends on. */
const alignment = 4

/** LEB128 of a number from 0 to 2³² - 1. */
export function unsigned(value: number): Code {
  const low = value & 0x7f
  const rest = value >>> 7
  return rest === 0 ? [low] : [low | 0x80, ...unsigned(rest)]
}

/** LEB128 of a 32-bit number with its sign. */
export function signed(value: number): Code {
  const low = value & 0x7f
  const rest = value >> 7
  const isLast = rest === (low & 0x40 ? -1 : 0)
  return isLast ? [low] : [low | 0x80, ...signed(rest)]
}
