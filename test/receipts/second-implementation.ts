import { createHash } from 'node:crypto'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'

/**
 * A second implementation of spec/receipts.md, written from the text and sharing no code with
 * `src/`: the vectors are computed by both. It has its own CBOR writer; keys, signatures and peer
 * ids are libp2p's.
 */

type Plain = null | number | bigint | string | Uint8Array | readonly Plain[] | Map<string, Plain>

export interface SecondCase {
  readonly issuerSeed: string
  readonly lookupKey: string
  readonly modelId: string
  readonly numericClass: string
  readonly counts: readonly number[]
  readonly unauditedTokens: number
  readonly choices: readonly SecondChoice[]
  readonly leaves: readonly SecondLeaf[] | null
  /** Decimal. */
  readonly seed: string | null
  readonly issuedAt: number
  readonly expiresAt: number
}

export interface SecondChoice {
  readonly finish: string
  readonly stopSequence: string | null
  readonly parts: readonly (readonly string[])[]
  readonly tokenIds: readonly number[] | null
  readonly logprobs: readonly SecondLogprob[] | null
}

export interface SecondLogprob extends SecondTop {
  readonly top: readonly SecondTop[]
}
interface SecondTop {
  readonly token: string
  /** Hex. */
  readonly bytes: string
  readonly logprob: number
}

/** Log-probabilities in nat. */
export interface SecondLeaf {
  readonly tokenId: number
  readonly logprob: number
  readonly sketch: readonly { readonly tokenId: number; readonly logprob: number }[]
}

export interface SecondReceipt {
  readonly issuer: string
  readonly textDigest: string
  readonly tokenDigest: string | null
  readonly leavesBytes: string | null
  readonly root: string | null
  readonly leavesKey: string
  readonly receipt: string
}

export async function secondReceipt(given: SecondCase): Promise<SecondReceipt> {
  const privateKey = await generateKeyPairFromSeed('Ed25519', hex(given.issuerSeed))
  const hasTokens = given.numericClass !== 'upstream'
  const text = sha('hyperspace/completion/1', cbor(given.choices.map(choiceForm)))
  const lists = given.choices.map(({ tokenIds }) => u32s(tokenIds ?? []))
  const tokens = hasTokens ? sha('hyperspace/tokens/1', cbor(lists)) : null
  const root = given.leaves === null ? null : treeRoot(given.leaves.map(leafInTree))
  const body = cbor(
    new Map<string, Plain>([
      ['v', 2],
      ['k', hex(given.lookupKey)],
      ['m', given.modelId],
      ['n', given.numericClass],
      ['d', text],
      ['t', tokens],
      ['r', root],
      ['c', given.counts],
      ['u', given.unauditedTokens],
      ['f', given.choices.map(choice => choice.finish)],
      ['s', given.seed === null ? null : BigInt(given.seed)],
      ['i', privateKey.publicKey.raw],
      ['a', given.issuedAt],
      ['e', given.expiresAt],
    ]),
  )
  const signature = await privateKey.sign(join('hyperspace/receipt/2', body))
  return {
    issuer: peerIdFromPrivateKey(privateKey).toString(),
    textDigest: text.toString('hex'),
    tokenDigest: tokens?.toString('hex') ?? null,
    leavesBytes: given.leaves === null ? null : leafList(given.leaves).toString('hex'),
    root: root?.toString('hex') ?? null,
    leavesKey: sha('hyperspace/leaves/1', hex(given.lookupKey)).toString('hex'),
    receipt: join(body, signature).toString('hex'),
  }
}

function choiceForm({ finish, stopSequence, parts, logprobs }: SecondChoice): Plain {
  const form = ({ token, bytes, logprob }: SecondTop): Plain[] => [
    token,
    hex(bytes),
    units(logprob),
  ]
  const forms = logprobs?.map(entry => [...form(entry), entry.top.map(form)]) ?? null
  return [finish, stopSequence, parts, forms]
}

/** §4: the bytes of a leaf, hashed as a leaf of the tree. */
function leafInTree({ tokenId, logprob, sketch }: SecondLeaf, position: number): Buffer {
  const pairs = sorted(sketch).flatMap(entry => [u32s([entry.tokenId]), i32(units(entry.logprob))])
  const own = [u32s([position, tokenId]), i32(units(logprob)), Buffer.from([sketch.length])]
  return sha(Buffer.from([0]), ...own, ...pairs)
}

function treeRoot(hashes: readonly Buffer[]): Buffer {
  const [only] = hashes
  if (only === undefined) return sha()
  if (hashes.length === 1) return only
  const split = 2 ** Math.ceil(Math.log2(hashes.length) - 1)
  const left = treeRoot(hashes.slice(0, split))
  return sha(Buffer.from([1]), left, treeRoot(hashes.slice(split)))
}

/** §5 */
function leafList(leaves: readonly SecondLeaf[]): Buffer {
  const each = leaves.flatMap(({ tokenId, logprob, sketch }) => [
    leb(tokenId),
    leb(-units(logprob)),
    leb(sketch.length),
    ...sorted(sketch).flatMap(entry => [leb(entry.tokenId), leb(-units(entry.logprob))]),
  ])
  return join(Buffer.from([1]), leb(leaves.length), ...each)
}

function sorted(sketch: SecondLeaf['sketch']): SecondLeaf['sketch'] {
  return [...sketch].sort(
    (a, b) => units(b.logprob) - units(a.logprob) || (a.tokenId < b.tokenId ? -1 : 1),
  )
}

function units(logprob: number): number {
  return Math.floor(1_024 * logprob + 0.5)
}

function leb(value: number): Buffer {
  const bytes: number[] = []
  let rest = BigInt(value)
  do {
    const low = Number(rest % 128n)
    rest /= 128n
    bytes.push(rest > 0n ? low + 128 : low)
  } while (rest > 0n)
  return Buffer.from(bytes)
}

/** RFC 8949 §4.2.1: shortest heads, definite lengths, keys in bytewise order. */
function cbor(value: Plain): Buffer {
  if (value === null) return Buffer.from([0xf6])
  if (typeof value === 'string') return join(head(3, Buffer.byteLength(value)), value)
  if (typeof value === 'number' || typeof value === 'bigint') {
    return value < 0 ? head(1, -1n - BigInt(value)) : head(0, value)
  }
  if (value instanceof Uint8Array) return join(head(2, value.length), value)
  if (value instanceof Map) {
    const pairs = [...value].map(([name, item]) => [cbor(name), cbor(item)] as const)
    pairs.sort(([a], [b]) => Buffer.compare(a, b))
    return join(head(5, pairs.length), ...pairs.flat())
  }
  return join(head(4, value.length), ...value.map(cbor))
}

function head(major: number, value: number | bigint): Buffer {
  const size = [24n, 2n ** 8n, 2n ** 16n, 2n ** 32n, 2n ** 64n].findIndex(end => value < end)
  if (size === 0) return Buffer.from([major * 32 + Number(value)])
  const digits = BigInt(value)
    .toString(16)
    .padStart(2 ** size, '0')
  return Buffer.from((major * 32 + 23 + size).toString(16).padStart(2, '0') + digits, 'hex')
}

function u32s(values: readonly number[]): Buffer {
  return Buffer.from(new Uint8Array(Uint32Array.from(values).buffer))
}

function i32(value: number): Buffer {
  return Buffer.from(new Uint8Array(Int32Array.of(value).buffer))
}

function hex(text: string): Buffer {
  return Buffer.from(text, 'hex')
}

function sha(...parts: readonly (string | Uint8Array)[]): Buffer {
  return createHash('sha256')
    .update(join(...parts))
    .digest()
}

function join(...parts: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(parts.map(part => Buffer.from(part)))
}
