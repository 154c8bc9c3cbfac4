import { after } from 'node:test'
import { temporaryFolders } from '../../../test/support/temporary-folders.ts'
import { blobStoreCompliance } from '../../interface/blob-store.compliance.ts'
import { silentLog } from '../../interface/log.ts'
import { FileStore } from './file-store.ts'

const folders = temporaryFolders()
after(() => folders.remove())

blobStoreCompliance('FileStore', async ({ clock, bytesMax }) => {
  const store = new FileStore({ clock, log: silentLog }, { folder: folders.next(), bytesMax })
  await store.start({ signal: new AbortController().signal })
  return store
})
