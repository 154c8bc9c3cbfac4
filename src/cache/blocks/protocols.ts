import type { ProtocolName } from '../../interface/network.ts'

/** Requests and replies of wire/block-messages.ts. */
export const manifestProtocol: ProtocolName = '/hyperspace/block-manifests/1'
export const holdProtocol: ProtocolName = '/hyperspace/block-hold/1'
/** Body: a stripe and the index of a shard. Bytes: the hashes of its leaves, then the shard. */
export const shardProtocol: ProtocolName = '/hyperspace/block-shard/1'
