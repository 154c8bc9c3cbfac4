import { blobStoreCompliance } from '../interface/blob-store.compliance.ts'
import { MemoryBlobStore } from './memory-blob-store.ts'

blobStoreCompliance('MemoryBlobStore', async ({ clock, bytesMax }) => {
  const store = new MemoryBlobStore({ clock }, { bytesMax })
  await store.start()
  return store
})
