import type { Kernel, KernelName } from './kernel.ts'
import { createScalarKernel } from './scalar-kernel.ts'
import { createSimdKernel } from './simd-kernel.ts'

/**
 * The fastest kernel of this machine, or the named one. Takes gigabytes of address space, as all
 * WebAssembly memory does: make one per thread, not one per use.
 * @throws RangeError when the machine cannot run the named one
 */
export function createKernel(name?: KernelName): Kernel {
  if (name === undefined) {
    return createSimdKernel('relaxed') ?? createSimdKernel('plain') ?? createScalarKernel()
  }
  const kernel = name === 'scalar' ? createScalarKernel() : createSimdKernel(name)
  if (kernel === undefined) throw new RangeError(`This engine cannot run the ${name} kernel`)
  return kernel
}
