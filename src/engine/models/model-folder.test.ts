import assert from 'node:assert/strict'
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { silentLog } from '../../interface/log.ts'
import { ModelDigests } from './model-digest.ts'
import { bundledModelPath, ModelFolder } from './model-folder.ts'

const { signal } = new AbortController()

describe('ModelFolder', () => {
  let root = ''
  let dataDir = ''
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'model-folder-'))
  })
  after(async () => {
    await rm(root, { recursive: true, force: true })
  })
  beforeEach(async () => {
    dataDir = await mkdtemp(join(root, 'data-'))
  })

  function folder(paths: readonly string[] = []): ModelFolder {
    const digests = new ModelDigests({ log: silentLog }, { dataDir })
    return new ModelFolder({ digests, log: silentLog }, { dataDir, paths })
  }

  async function put(...names: readonly string[]): Promise<void> {
    await mkdir(join(dataDir, 'models'), { recursive: true })
    for (const name of names) await writeFile(join(dataDir, 'models', name), name)
  }

  async function names(of: ModelFolder): Promise<readonly string[]> {
    return (await of.list()).map(model => model.name)
  }

  it('list() has the bundled model where there is no folder yet', async () => {
    const [model, ...others] = await folder().list()
    assert.deepEqual(model, {
      name: 'hyperspace-tiny-chat',
      aliases: ['tiny-chat'],
      path: bundledModelPath,
      fileBytes: 2_161_120,
      origin: 'bundled',
    })
    assert.deepEqual(others, [])
  })

  it('list() names pulled models as they were pulled, others by their file', async () => {
    await put('bartowski--Llama-3.2-1B-Instruct-GGUF--Q4_K_M.gguf', 'My-Model.gguf')
    await put('half.gguf.part', 'half.gguf.part.json', 'digests.json')
    await mkdir(join(dataDir, 'models', 'folder.gguf'))
    await symlink('/nowhere', join(dataDir, 'models', 'dangling.gguf'))
    const [, stem, pulled, ...others] = await folder().list()
    assert.deepEqual([stem?.name, stem?.aliases], ['My-Model', ['my-model']])
    assert.equal(pulled?.name, 'bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M')
    assert.deepEqual(pulled?.aliases, [
      'bartowski/Llama-3.2-1B-Instruct-GGUF',
      'llama-3.2-1b-instruct',
      'llama-3.2-1b-instruct:q4_k_m',
    ])
    assert.deepEqual(others, [])
  })

  it('list() leaves out aliases that two models could claim; the bundled one stays', async () => {
    await put('a--M-GGUF--Q4_K_M.gguf', 'a--M-GGUF--Q8_0.gguf', 'b--Tiny-Chat-GGUF--Q8_0.gguf')
    const models = await folder().list()
    assert.deepEqual(
      models.map(model => model.aliases),
      [['tiny-chat'], ['m:q4_k_m'], ['m:q8_0'], ['b/Tiny-Chat-GGUF', 'tiny-chat:q8_0']],
    )
  })

  it('list() has given paths once, under a name that is free', async () => {
    await put('one.gguf')
    const known = join(dataDir, 'models', 'one.gguf')
    await mkdir(join(dataDir, 'elsewhere'))
    const other = join(dataDir, 'elsewhere', 'one.gguf')
    await writeFile(other, '')
    const given = folder([known, other, other, relative('.', bundledModelPath)])
    assert.deepEqual(await names(given), ['hyperspace-tiny-chat', 'one', other])
  })

  it('list() names a given path that is no file', async () => {
    await assert.rejects(folder([join(dataDir, 'absent.gguf')]).list(), {
      code: 'model_file_invalid',
      message: /absent\.gguf is no model file: check the path/,
    })
  })

  it('find() takes names, aliases, hub forms, paths and digests', async () => {
    const file = join(dataDir, 'models', 'org--Tiny-GGUF--Q8_0.gguf')
    await put()
    await copyFile(bundledModelPath, file)
    const models = folder()
    const hub = 'org/Tiny-GGUF:Q8_0'
    for (const wanted of [hub, 'ORG/tiny-gguf:q8_0', `hf:${hub}`, `hf.co/${hub}`, 'tiny', file]) {
      assert.equal((await models.find(wanted)).name, hub, wanted)
    }
    assert.equal((await models.find(`https://huggingface.co/${hub}`)).name, hub)
    assert.equal((await models.find('Tiny-Chat')).origin, 'bundled')

    const details = await models.show(await models.find('tiny'), { signal })
    const digits = details.id.slice('sha256:'.length)
    assert.equal(details.header.quantization, 'Q8_0')
    for (const wanted of [details.id, digits, digits.slice(0, 6), digits.toUpperCase()]) {
      assert.equal((await models.find(wanted)).name, hub, wanted)
    }
    await models.show(await models.find('tiny-chat'), { signal })
    await assert.rejects(models.find(digits.slice(0, 12)), {
      code: 'request_invalid',
      message: /fits several models: hyperspace-tiny-chat, org\/Tiny-GGUF:Q8_0/,
    })
  })

  it('find() takes the path of a file that is not in the folder', async () => {
    const file = join(dataDir, 'Other.gguf')
    await writeFile(file, '')
    const found = await folder().find(relative('.', file))
    assert.deepEqual([found.name, found.path, found.origin], ['Other', file, 'path'])
    await assert.rejects(folder().find('absent.gguf'), { code: 'model_file_invalid' })
  })

  it('find() lists what there is', async () => {
    await put('one.gguf')
    await assert.rejects(folder().find('gpt-4o'), {
      code: 'model_not_found',
      message: "No model 'gpt-4o' here. Available: hyperspace-tiny-chat, one",
    })
  })

  it('show() says what is wrong with a file', async () => {
    await put('broken.gguf')
    const models = folder()
    await assert.rejects(models.show(await models.find('broken'), { signal }), {
      code: 'model_file_invalid',
      message: /broken\.gguf is not a GGUF file/,
    })
  })

  it('remove() deletes a file of the folder with what an unfinished pull left', async () => {
    await put('one.gguf', 'one.gguf.part', 'one.gguf.part.json', 'two.gguf')
    const removed = await folder().remove('one')
    assert.equal(removed.name, 'one')
    assert.deepEqual(await readdir(join(dataDir, 'models')), ['two.gguf'])
    await assert.rejects(folder().remove('one'), { code: 'model_not_found' })
  })

  it('remove() refuses the bundled model and files elsewhere', async () => {
    const file = join(dataDir, 'other.gguf')
    await writeFile(file, '')
    await assert.rejects(folder().remove('tiny-chat'), {
      code: 'forbidden',
      message: /comes with the package and cannot be removed/,
    })
    for (const models of [folder([file]), folder()]) {
      await assert.rejects(models.remove(file), { code: 'forbidden', message: /yourself/ })
    }
    assert.equal((await folder().find(file)).path, file, 'is still there')
  })
})
