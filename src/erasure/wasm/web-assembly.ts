/**
 * What is used here of the global `WebAssembly`, which neither TypeScript's `es` libraries nor
 * @types/node declare. Our modules export one memory and functions of 32-bit numbers without a
 * result; what else they were would be a fault of our emitter.
 */
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean
  readonly Module: new (bytes: Uint8Array) => CompiledModule
  readonly Instance: new (
    module: CompiledModule,
  ) => { readonly exports: Readonly<Record<string, WasmMemory & WasmFunction>> }
}
type CompiledModule = object

export interface WasmMemory {
  /** Another one after each `grow`. */
  readonly buffer: ArrayBuffer
  /** Adds pages of 64 KiB. @throws RangeError when the system has none left */
  grow(pages: number): number
}

export type WasmFunction = (...values: readonly number[]) => void

export interface WasmInstance {
  readonly memory: WasmMemory
  function(name: string): WasmFunction
}

/** Whether this engine knows all of a module's instructions. */
export function isSupported(bytes: Uint8Array): boolean {
  return 'WebAssembly' in globalThis && WebAssembly.validate(bytes)
}

/** Compiles a module, in about a millisecond, and makes an instance with memory of its own. */
export function instantiate(bytes: Uint8Array): WasmInstance {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  const exported = (name: string): WasmMemory & WasmFunction => {
    const value = exports[name]
    if (value === undefined) throw new TypeError(`The module exports no '${name}'`)
    return value
  }
  return { memory: exported('memory'), function: exported }
}
