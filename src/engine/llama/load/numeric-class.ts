import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Llama } from 'node-llama-cpp'
import type { ModelId } from '../../../key/model-id.ts'
import { numericsVersion } from '../sequence/plan-resume.ts'

export interface NumericFacts {
  readonly id: ModelId
  readonly hasFlashAttention: boolean
  /** Layers that a GPU computes; 0 on the CPU. */
  readonly gpuLayers: number
  /** Whether all positions are turned as in a long context (`isLongRope`). */
  readonly isLongRope: boolean
}

/**
 * Everything that decides the last bits of what the model computes, in one line (research/engine.md
 * §4). The CPU's features stand for the variant of the build that llama.cpp picked: AVX-512 and
 * AVX2 round differently.
 */
export async function numericClass(llama: Llama, facts: NumericFacts): Promise<string> {
  const { release } = llama.llamaCppRelease
  return [
    facts.id,
    `node-llama-cpp ${libraryVersion()}`,
    `llama.cpp ${release}`,
    llama.gpu === false ? 'cpu' : `${llama.gpu} ${(await llama.getGpuDeviceNames()).join('+')}`,
    ...(llama.gpu === false ? [] : [`${facts.gpuLayers} layers`]),
    `${process.arch} ${cpuFeatures(llama.systemInfo)}`,
    `flash attention ${facts.hasFlashAttention ? 'on' : 'off'}`,
    'kv f16',
    `chunks ${numericsVersion}`,
    ...(facts.isLongRope ? ['long rope'] : []),
  ].join(' · ')
}

/** `CPU : AVX = 1 | AVX2 = 1 | …` → `AVX+AVX2+…` */
export function cpuFeatures(systemInfo: string): string {
  return [...systemInfo.matchAll(/(\w+) = 1\b/g)].map(match => match[1]).join('+')
}

function libraryVersion(): string {
  const url = new URL('../package.json', import.meta.resolve('node-llama-cpp'))
  const manifest: unknown = JSON.parse(readFileSync(fileURLToPath(url), 'utf8'))
  const isManifest = typeof manifest === 'object' && manifest !== null && 'version' in manifest
  return isManifest ? String(manifest.version) : 'unknown'
}
