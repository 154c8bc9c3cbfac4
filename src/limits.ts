/**
 * Every bound in the system, with the reason for its value. When a limit is hit, work is refused
 * and counted.
 */

export const KiB = 1024
export const MiB: number = 1024 * KiB
export const GiB: number = 1024 * MiB

/**
 * Largest request body. The biggest agent bodies seen are 65 KB; a 1 M-token prompt with images
 * fits in 32 MiB.
 */
export const bodyBytesMax: number = 32 * MiB
/** Deepest nesting of a request body. JSON schemas of real tools stay below 20. */
export const bodyDepthMax = 64
/** Largest header block node:http accepts. Coding agents send up to 4 KB of metadata headers. */
export const headerBytesMax: number = 32 * KiB
/** Open connections. One client rarely holds more than 64; 2,000 must be served (fault test). */
export const connectionsMax = 8_192
/** Time for a client to send its whole request. A 32 MiB body over 2 Mbit/s takes 128 s. */
export const requestTimeoutMs = 180_000
/**
 * How long an idle keep-alive connection is kept. Longer than the 60 s of common proxies, so that
 * they close first.
 */
export const keepAliveTimeoutMs = 75_000
/**
 * Choices of one request (`n`): OpenAI's own limit is 128, but each one costs a full generation
 * here.
 */
export const choicesMax = 16
/** Stop strings of one request. OpenAI allows 4; Anthropic and vLLM more. */
export const stopStringsMax = 16
/** Top log-probabilities of a token: OpenAI's limit. */
export const topLogprobsMax = 20
/** Highest sample number: beyond it nobody draws again, and a counter overflow would alias keys. */
export const sampleMax = 1_000_000

/**
 * Largest answer that is kept. A 128 k-token answer with log-probabilities is about 24 MiB of
 * events; text alone < 1 MiB.
 */
export const answerBytesMax: number = 16 * MiB
/**
 * Events one flight keeps for late followers, before coalescing. 262,144 tokens is above every
 * output limit known.
 */
export const flightEventsMax = 262_144
/** Flights at once. Each holds at most one answer; the engine's queue refuses long before. */
export const flightsMax = 4_096
/** Followers of one flight. 2,000 clients of one key is a tested case. */
export const flightFollowersMax = 16_384

/**
 * Requests waiting for a sequence of the embedded engine. More would wait for minutes; a 429 is
 * kinder.
 */
export const engineQueueMax = 256
/** Rules of one output grammar. The largest tool schemas seen need a few hundred. */
export const grammarRulesMax = 4_096
/** Tool calls of one forced answer: without a bound a weak model would call for ever. */
export const forcedCallsMax = 8
/** Embedding inputs of one request: OpenAI's limit. */
export const embeddingInputsMax = 2_048

/**
 * Opened records and their ready-made replies kept in memory, in bytes. Roughly 10,000 answers of 2
 * KB.
 */
export const openedBytesMax: number = 64 * MiB
/**
 * Raw bodies whose key is remembered, so that a byte-equal body skips parsing. 32 bytes of digest
 * each.
 */
export const rawDigestsMax = 65_536
/**
 * Answers waiting to be written to disk. 1,024 × 2 KB is nothing; past it the disk cannot keep up
 * and answers are shed.
 */
export const fillQueueMax = 1_024

/** Time that requests in flight get to finish after SIGTERM. */
export const drainTimeoutMs = 30_000
/**
 * Time without a byte from an upstream before the request fails. Cold loads of big models take
 * minutes.
 */
export const upstreamIdleTimeoutMs = 300_000
/** Time to connect to an upstream. */
export const upstreamConnectTimeoutMs = 10_000
/** Largest error body kept from an upstream. */
export const upstreamErrorBytesMax: number = 64 * KiB
/** Largest single server-sent event accepted from an upstream. */
export const upstreamEventBytesMax: number = 4 * MiB
/** Models listed from one upstream. */
export const upstreamModelsMax = 4_096

/**
 * Bytes of a GGUF header that are walked through. Vocabularies of 262,144 tokens with merges need
 * about 16 MiB.
 */
export const ggufHeaderBytesMax: number = 256 * MiB
/**
 * Bytes of a GGUF header held in memory at once, and the longest string kept from it: no name of a
 * field is near it.
 */
export const ggufWindowBytes: number = 64 * KiB
/** Metadata entries of a GGUF file. Real files have fewer than 100. */
export const ggufEntriesMax = 65_536
/** Tensors of a GGUF file. Mixtures of experts stored unmerged reach about 50,000. */
export const ggufTensorsMax = 131_072
/** Largest model file. The largest open weights (1 T parameters in F32) are 4 TB. */
export const modelFileBytesMax: number = 4_096 * GiB
/** Model files that one folder lists. Terabytes, by any usual size. */
export const modelFilesMax = 1_024
/** Model files whose digest is remembered; the oldest are forgotten. About 200 bytes each. */
export const modelDigestsMax = 4_096
/** Bytes hashed between two looks at the abort signal: under 1 ms of the event loop at 1.4 GB/s. */
export const hashChunkBytes: number = MiB
/** Largest reply of a model hub's API. Repositories with thousands of files stay below 2 MiB. */
export const hubReplyBytesMax: number = 8 * MiB
/** Files of one repository on a model hub that are looked at. */
export const hubFilesMax = 16_384
/** Redirects followed for one download. Hugging Face needs one or two. */
export const downloadRedirectsMax = 5
/**
 * Failures in a row before a download gives up: with doubling pauses from 1 s that is about a
 * minute.
 */
export const downloadAttemptsMax = 6
/**
 * A connection that brought this much resets the count of failures: long downloads break more than
 * six times.
 */
export const downloadProgressBytes: number = 16 * MiB
/** Time without a byte before a download's connection counts as broken. */
export const downloadIdleTimeoutMs = 60_000
/** Space left free on the disk beside a download, so that the store and the logs can go on. */
export const diskReserveBytes: number = 64 * MiB
/** Requests at one upstream, each on its own connection. As many as flights, which refuse first. */
export const upstreamRequestsMax = 4_096
/** Tool calls in one choice of an upstream's answer. Agents make a dozen; a broken one millions. */
export const upstreamToolCallsMax = 1_024
/** Largest JSON reply of an upstream but answers: 2,048 vectors of 4,096 floats are 43 MiB. */
export const upstreamReplyBytesMax: number = 64 * MiB

/**
 * Writes waiting for the store's writer. The fill queue is shorter; past it the disk cannot keep
 * up.
 */
export const storeQueueMax = 4_096
/** Their bytes. Eight of the largest answers: memory is worth more than a backlog. */
export const storeQueueBytesMax: number = 128 * MiB
/** Writes of one transaction: with 2 KB each it takes about 5 ms, most of it the disk's flush. */
export const storeBatchMax = 256
/**
 * Records whose uses wait to be written. About 150 bytes each; a flush of so many takes about 50 ms
 * of the writer.
 */
export const storeUsesMax = 8_192
/** Records looked at by one sweep for expired ones: about 5 ms of the writer. */
export const storeSweepMax = 1_024
/** Damaged stores kept beside the new one. More would fill a failing disk with copies. */
export const storeCorruptFoldersMax = 3
/**
 * Tree pages checked before LMDB opens the file: about 1 s. A store of 8 GiB has as many, a larger
 * one is checked from its roots down.
 */
export const storeCheckPagesMax = 262_144

/**
 * Largest signed receipt. The longest fields are model id and numeric class, each some hundred
 * bytes; all else is 400 bytes.
 */
export const receiptBytesMax: number = 4 * KiB
/**
 * How far another node's clock may be off before its receipts count as expired or from the future.
 */
export const receiptClockSkewMs = 3_600_000
/** Leaves of one receipt: one per completion token, of all choices. Equals `flightEventsMax`. */
export const leavesMax: number = flightEventsMax
/**
 * Largest list of leaves: a sealed record opens to no more. With full sketches 46 bytes a leaf are
 * usual, so that `leavesMax` leaves fit.
 */
export const leavesBytesMax: number = answerBytesMax
/** Alternatives kept per leaf. Eight tell models and quantisations apart (research, TOPLOC). */
export const sketchMax = 8
/** Issuers whose public keys are kept ready for checking: about 1 KB each. */
export const issuerKeysMax = 1_024
/** Peers whose behaviour is remembered, the longest unseen forgotten: about 100 bytes each. */
export const reputationPeersMax = 4_096

/** Log lines that wait for the disk. When it is full they would otherwise fill the memory. */
export const logBufferBytesMax: number = MiB
/** Lines of the log that are shown at most: more is a job for the file itself. */
export const logLinesMax = 1_000_000

/**
 * Largest request, reply or stream message between peers. A batch of 4,096 look-up keys is 128 KiB;
 * larger things travel as streams.
 */
export const messageBytesMax: number = MiB
/**
 * Messages a stream's sender may be ahead of what the reader took: two would do on a LAN, eight
 * hide a round trip of 100 ms at 80 messages/s of token streaming.
 */
export const streamAheadMax = 8
/** Requests of one peer that are answered at once; more are refused as overloaded. */
export const requestsPerPeerMax = 1_024
/** Streams that one peer may have open here. One per answer that it follows. */
export const streamsPerPeerMax = 256
/** Members that a node keeps connections to. Each costs about 100 KiB of buffers. */
export const membersMax = 1_024

/**
 * Connections that a public address may open per second. A home or office hides many nodes behind
 * one address; the library's own 5 refuses a team that starts together.
 */
export const inboundPerSecondMax = 32
/** The same for loopback, where a whole test bed is one address. */
export const inboundPerSecondLoopbackMax = 512
/** Connections that have not yet proved membership. Each may stay for the proof's 5 s. */
export const inboundPendingMax = 256
/** Of these, from one address, so that one stranger cannot take them all. */
export const inboundPendingPerAddressMax = 32
/** Time for a proof of membership: two round trips, even over a slow satellite. */
export const membershipTimeoutMs = 5_000
/** Time to open a connection, name look-up and proofs included. */
export const dialTimeoutMs = 15_000
/** First pause before a lost peer is dialled again; it doubles up to the longest. */
export const redialFirstMs = 1_000
export const redialLongestMs = 60_000
/** Attempts for a peer that was only discovered: about ten minutes, then its address is stale. */
export const discoveredAttemptsMax = 12
/** Discovered peers are dialled while fewer are connected: a full mesh of the usual swarms. */
export const meshPeersMax = 64
/** Members that one is told of at once: as many as it would dial. */
export const membersToldMax: number = meshPeersMax
/** Addresses of one member that are told: of a few interfaces, IPv4 and IPv6, and of relays. */
export const addressesPerMemberMax = 8
/** Longest multiaddr as text: one through a relay with a certificate hash has about 300 bytes. */
export const addressTextMax = 512
/** Longest wait for a member to tell of others: it has nothing to look up. */
export const membersTimeoutMs = 10_000
/**
 * Their bytes, with those of their replies that wait to be sent: bounds a peer's share of memory.
 */
export const peerRequestBytesMax: number = 8 * MiB
/** Requests of ours that wait for one peer's reply. */
export const peerPendingMax = 1_024
/** Bytes that wait to be sent to one peer. A peer that reads so slowly is as good as gone. */
export const peerSendBytesMax: number = 16 * MiB
/**
 * Frames that wait for it, of which the smallest weighs far more in memory than its 9 bytes: a few
 * times what honest requests, replies and cancels of both sides come to.
 */
export const peerSendPiecesMax = 16_384
/** How often a connection is tried and measured. */
export const peerPingIntervalMs = 15_000
/** Silence after which a pinged peer counts as gone. */
export const peerPingTimeoutMs = 10_000
/** Peers that are refused. Far more than a person bans by hand. */
export const bannedPeersMax = 4_096
/** Peers that may hold a place at our relay at once. */
export const relayReservationsMax = 128
/** What one relayed connection may carry: many answers, but no KV state. */
export const relayBytesMax: number = 64 * MiB
/** How long one relayed connection may last before it is made anew. */
export const relayDurationMs = 3_600_000

/**
 * Members of a swarm up to which everybody is simply asked for a key: one batched message each is
 * no more than what owners would cost, and nothing has to be announced.
 */
export const directoryAskAllMax = 8
/** Keys of one announcement: 128 KiB, far below the largest message. */
export const directoryAnnounceKeysMax = 4_096
/** Keys of one look-up message. As many as there are flights would ask at the same moment. */
export const directoryFindKeysMax = 1_024
/** Different peers that one look-up reply may name: all members, and as many strangers. */
export const directoryAnswerPeersMax = 2_048
/** Providers named for one key: whoever asks tries a few. Popular answers have thousands. */
export const directoryProvidersMax = 16
/** Keys that this node announces: about 250 bytes each. */
export const directoryProvidedMax = 524_288
/**
 * Records that an owner keeps for one provider. One with 100,000 keys in a swarm of nine gives each
 * owner 33,000.
 */
export const directoryRecordsPerPeerMax = 65_536
/** Records that an owner keeps in all, about 200 bytes each. Past it new ones are refused. */
export const directoryRecordsMax = 524_288
/** Announcements that a peer may send at once; an honest one sends one per second. */
export const directoryAnnounceBurst = 32
/** Announcements per second that a peer may keep up. */
export const directoryAnnouncePerSecond = 4
/** Keys remembered as known to nobody, for about a second. */
export const directoryNegativesMax = 16_384
/** Regions of the key space remembered, 20 peers each: a swarm of 10,000 has about that many. */
export const directoryRegionsMax = 1_024
/** Peers of one region: as many as the hash table names for a key. */
export const directoryRegionPeersMax = 20
/** Walks through the hash table at once. Each occupies up to 30 members for a second. */
export const directoryWalksMax = 4
/** Longest walk: a frozen member costs the hash table 10 s. */
export const directoryWalkTimeoutMs = 20_000
/** Peers called at once to be told or asked. A call costs both sides about 15 ms of processor. */
export const directoryCallsMax = 64
/** Longest call. Members that are there answer within a few round trips. */
export const directoryCallTimeoutMs = 5_000
/** Peers of a region asked for one key, those instead of others that are gone included. */
export const directoryAskedMax = 8
/** Providers called for one look-up because they are not connected. Whoever asks tries a few. */
export const directoryProvidersCalledMax = 8

/** Look-up keys of one request for records. More are asked for in the next request. */
export const recordKeysMax = 64
/** Records of one reply together; what does not fit is taken as a stream. */
export const recordReplyBytesMax: number = 192 * KiB
/** Keys that this node shares with its swarm: 1 M answers of 4 KB fill the disk tier's default. */
export const sharedKeysMax = 1_048_576
/** Keys that nobody had, remembered briefly so that a burst of misses asks once. */
export const negativeKeysMax = 8_192
/** How long nobody's having a key is believed. Somebody may be computing it this moment. */
export const negativeMs = 2_000
/** Peers asked for one record, best first. Each failure costs a round trip that the engine uses. */
export const providersAskedMax = 4
/** Members up to which everybody is simply asked: a reply of "none" is cheaper than a directory. */
export const askEverybodyMax = 8
/** Longest wait for a peer's answer. The engine runs beside it after two round trips anyway. */
export const peerAnswerTimeoutMs = 5_000
/** Connections with one peer: one in use, and those that fade out or that AutoNAT tries. */
export const connectionsPerPeerMax = 4
/**
 * Pieces in which a large record is streamed: one libp2p message each, small enough to share a
 * link.
 */
export const streamPieceBytes: number = 128 * KiB
/** Answers that peers may wait for. Equals the flights at once. */
export const sharedFlightsMax: number = flightsMax
/** Bytes of records that are streamed to one peer at once: two of the largest, and some more. */
export const servedPerPeerBytesMax: number = 3 * answerBytesMax
/** The same for all peers together; past it they are told that this node has too much to do. */
export const servedBytesMax: number = 12 * answerBytesMax
/** Keys looked at by one sweep for those that were evicted: about 1 ms, 1 M keys in 17 hours. */
export const sharedSweepKeys = 256
/** How often. Whoever asks for an evicted key withdraws it at once. */
export const sharedSweepIntervalMs = 15_000
/**
 * Longest that one look-up on peers takes, waiting for an answer that a peer is computing included.
 * The engine runs beside it long before.
 */
export const peerSearchMsMax = 60_000
/**
 * Largest sealed record taken from a peer: the largest answer, which may not compress at all (zstd
 * then adds up to 1/256).
 */
export const sealedRecordBytesMax: number = answerBytesMax + 128 * KiB
/** Addresses of members that a node remembers: all are dialled at its start, and one will do. */
export const rememberedAddressesMax = 64
/**
 * CBOR items of one record. 8,192 tokens with 20 alternatives each are 550,000; a million empty
 * maps cost 0.2 s and 100 MB to decode, where the 16 MiB of a record could hold sixteen times as
 * many.
 */
export const recordItemsMax = 1_000_000
/**
 * Longest silence of whoever reads a stream. A reader that checks and stores a message of 256 KiB
 * needs milliseconds; one that takes nothing would hold the sender's memory.
 */
export const streamIdleTimeoutMs = 30_000
