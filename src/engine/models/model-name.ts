import { requestInvalid } from '../../errors.ts'

/** What `pull` is asked for: a repository of a model hub, or one file somewhere. */
export type ModelReference =
  | {
      readonly kind: 'hub'
      readonly org: string
      readonly repo: string
      /** A quantisation or a file name, as the caller wrote it. */
      readonly tag: string | undefined
    }
  | { readonly kind: 'url'; readonly url: URL }

const help =
  'Name a model as hf:ORG/REPO[:QUANT], for example ' +
  'hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M, or as the https:// address of a .gguf file'

/**
 * Letters, digits, `-`, `_` and `.`; no name of the hub holds `..` or `--` or starts with a mark.
 */
const hubName = /^(?!.*(?:--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$/
const tagForm = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
const hubPrefix = /^(hf:(\/\/)?|hf\.co\/|huggingface\.co\/|https:\/\/(hf|huggingface)\.co\/)/i

/** @throws request_invalid saying which forms there are */
export function parseModelReference(text: string): ModelReference {
  const isFileUrl = /^https?:\/\//i.test(text) && /\.gguf(\?|$)/i.test(text)
  if (isFileUrl) return { kind: 'url', url: fileUrl(text) }
  if (!hubPrefix.test(text)) throw requestInvalid('model', `'${text}' is no model. ${help}`)
  const hub = parseHubName(text)
  if (hub === undefined) throw requestInvalid('model', `'${text}' is no model. ${help}`)
  return hub
}

type HubReference = Extract<ModelReference, { kind: 'hub' }>

/**
 * `org/repo[:tag]` with or without a prefix that names the hub; undefined when it has another form.
 */
function parseHubName(text: string): HubReference | undefined {
  const [path = '', tag, ...rest] = text.replace(hubPrefix, '').split(':')
  const [org = '', repo = '', ...more] = path.split('/')
  if (rest.length > 0 || more.length > 0 || !hubName.test(org) || !hubName.test(repo)) {
    return undefined
  }
  if (tag !== undefined && (!tagForm.test(tag) || tag.includes('..'))) return undefined
  return { kind: 'hub', org, repo, tag }
}

function fileUrl(text: string): URL {
  const url = URL.parse(text)
  if (url === null) throw requestInvalid('model', `'${text}' is no address. ${help}`)
  if (url.protocol !== 'https:' && !isLoopback(url)) {
    throw requestInvalid(
      'model',
      'A model is fetched over https:// only, so that nobody changes it',
    )
  }
  if (url.username !== '' || url.password !== '') {
    throw requestInvalid('model', 'Put no user name or password into the address of a model')
  }
  if (fileStem(url) === undefined) {
    throw requestInvalid('model', `The file name in the address of the model is unusable. ${help}`)
  }
  return url
}

/** The file name of a URL without `.gguf`, where it is a plain one. */
export function fileStem(url: URL): string | undefined {
  const stem = (url.pathname.split('/').at(-1) ?? '').replace(/\.gguf$/i, '')
  return tagForm.test(stem) && !stem.includes('..') ? stem : undefined
}

function isLoopback(url: URL): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
}

/**
 * Where a model of the hub is kept. Two hyphens separate the parts: the hub forbids them in names,
 * so the file's name says where it came from and no index is needed that could be lost.
 */
export function hubFileName(org: string, repo: string, label: string | undefined): string {
  return `${org}--${repo}${label === undefined ? '' : `--${label}`}.gguf`
}

/** A model's name and its short forms, from its file's name: the inverse of `hubFileName`. */
export function namesOfFile(fileName: string): { name: string; aliases: readonly string[] } {
  const stem = fileName.replace(/\.gguf$/i, '')
  const [org = '', repo = '', ...rest] = stem.split('--')
  const label = rest.join('--')
  if (!hubName.test(org) || !hubName.test(repo)) {
    return { name: stem, aliases: stem === stem.toLowerCase() ? [] : [stem.toLowerCase()] }
  }
  const long = `${org}/${repo}`
  const short = repo.replace(/[-_.]gguf$/i, '').toLowerCase()
  if (label === '') return { name: long, aliases: [short] }
  return { name: `${long}:${label}`, aliases: [long, short, `${short}:${label.toLowerCase()}`] }
}

/** Leaves away what names the hub, so that `hf:org/repo:Q8_0` finds what it pulled. */
export function withoutHubPrefix(text: string): string {
  return text.replace(hubPrefix, '')
}
