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

/** Prompts whose state the fake engine holds: as many as a real one has sequences. */
export const fakeResidentsMax = 4
/**
 * Requests waiting for a sequence of the embedded engine. More would wait for minutes; a 429 is
 * kinder.
 */
export const engineQueueMax = 256
/**
 * Longest that work which nobody waits for (scores for receipts, audits) makes way for answers:
 * then it is served as any other, so that receipts come on a node that is never idle.
 */
export const engineYieldMsMax = 5_000
/**
 * How long nobody has wanted the engine before such work begins: the next request of a conversation
 * often comes at once, and would wait for a native call of up to half a second.
 */
export const engineQuietMs = 100
/** Such work that waits: each holds the tokens of a prompt and its answer. */
export const engineYieldingMax: number = engineQueueMax
/** Calls that the engine's process works on or has waiting: as many as flights, and others. */
export const engineCallsMax = 8_192
/**
 * Tokens that the engine's process may be ahead of their reader: one who reads at all never makes
 * the model wait, and one who has stopped reading costs no more than this.
 */
export const engineItemsAheadMax = 256
/** Time for the engine's process to end by itself: one batch of a large model takes seconds. */
export const engineStopTimeoutMs = 5_000
/**
 * How often the engine's process is asked for a sign of life while it owes an answer. No other
 * timer of the engine takes as long: tests know it by that.
 */
export const enginePingMs = 4_500
/**
 * Pings in a row that it may leave unanswered, 45 s: a grammar, 100,000 tokens of text or a model
 * being loaded keep it busy for seconds, on a slow machine for some more.
 */
export const enginePingsUnansweredMax = 10
/** Time to read what an ended process wrote last: its own children may hold its output. */
export const engineOutputTimeoutMs = 1_000
/** Longest line of what the engine's process writes, and how many are kept for when it ends. */
export const engineLineMax: number = 4 * KiB
export const engineLastLinesMax = 20
/** Pause before an engine process that keeps ending is replaced again; it doubles. */
export const engineRestartFirstMs = 1_000
export const engineRestartLongestMs = 60_000
/** Having served so long, a process did not end because of how it was started. */
export const engineSteadyAfterMs = 60_000
/** A request waits for the next engine process unless the pause before it is longer than this. */
export const engineRestartWaitMsMax = 5_000
/** Requests that wait for it: as many as would wait for a sequence. */
export const engineRestartWaitersMax: number = engineQueueMax
/** Largest state file, llama-server's too: what Node reads at once, 16 k tokens of 128 KiB. */
export const stateFileBytesMax: number = 2 * GiB - 1
/** Generations at once that will write a state file: more are not cached, and run all the same. */
export const stateSavesMax = 64
/** Jobs that the thread for state files has waiting: imports and saves are fewer. */
export const stateJobsMax = 256
/**
 * Cache marks of one prompt whose places are looked for; each costs rendering the prompt once more.
 * Anthropic allows 4.
 */
export const cacheMarksMax = 8
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

/** Rows of one block of KV state. A 70B GQA model in f16 has 40 MiB at 128 tokens. */
export const blockBytesMax: number = 48 * MiB
/** Layers of a model's KV state. The deepest open models have 126. */
export const stateLayersMax = 512
/** UTF-8 bytes of a numeric class, and of a layout's settings: each some hundred. */
export const stateTextBytesMax: number = KiB
/** Index of a block in its prompt: 134 M tokens, more than any context. */
export const blockIndexMax = 1_048_575
/** Head of a block: 512 layers of 11 bytes, two texts, 128 token ids and some framing. */
export const blockHeadBytesMax: number = 16 * KiB
/** Sealed block: head, rows, and 29 bytes of seal. */
export const sealedBlockBytesMax: number = blockHeadBytesMax + blockBytesMax + 29
/**
 * Bytes sealed or opened in one turn of the event loop: 0.4 to 0.6 ms (measured, with the copy and
 * the look for numbers that are none), 3 ms on processors five times as slow. What is more goes to
 * a thread.
 */
export const blockInlineBytesMax: number = 512 * KiB
/** Blocks waiting for a thread that seals or opens: as many as prompts of 32,768 tokens have. */
export const blockJobsMax = 256
/** Their bytes: five of the largest, or 90 of a small model's. */
export const blockJobBytesMax: number = 256 * MiB

/** What the owner of a blob store keeps beside a blob: a manifest with its receipt fits twice. */
export const blobNoteBytesMax: number = 4 * KiB
/**
 * Blobs of one store, each about 1 KiB of memory with its note. At 256 KiB each they are 64 GiB; of
 * smaller ones fewer bytes are kept.
 */
export const blobsMax = 262_144
/** Files written at once: while some wait for the disk's flush, others are written. */
export const blobWritesMax = 4
/** Writes waiting. Past it the disk cannot keep up. */
export const blobWritesWaitingMax = 1_024
/** Their bytes: five of the largest blocks. */
export const blobWriteBytesWaitingMax: number = 256 * MiB
/** Files read at once, each with an open file. */
export const blobReadsMax = 32
/** Reads waiting. With 1 ms each the last one waits for a tenth of a second. */
export const blobReadsWaitingMax = 4_096
/** Heads read at once when a store starts: 10^4 files take 0.2 s. */
export const blobScanFilesMax = 32
/** Bytes of a blob read or written between two turns of the event loop: 0.3 ms of checksum. */
export const blobPieceBytes: number = 2 * MiB
/** Blobs looked at by one sweep for expired ones: below 1 ms. */
export const blobSweepMax = 4_096

/** Shards of one stripe: a mask of 32 bits names them. The widest code in use has 14. */
export const stripeShardsMax = 32
/** Largest signed manifest: 1 KiB of roots and some texts. It must fit into a blob's note. */
export const manifestBytesMax: number = 3 * KiB
/**
 * Look-up keys of one request for manifests: the reply has 0.4 MiB with two of the largest each.
 */
export const manifestAsksMax = 64
/** Stripes of one block that are told: two nodes may code it at the same moment. */
export const offersPerKeyMax = 2
/** Manifests whose signatures are known to be right: 1 KB each, and 0.1 ms to check again. */
export const manifestsKnownMax = 4_096
/** Stripes that gave no such block, remembered so that nobody fetches them twice. */
export const badStripesMax = 4_096
/** Blocks whose manifest names this node's own sealed block: what 1 TiB of 16 MiB each are. */
export const ownStripesMax = 65_536
/** Blocks that wait to be placed: a prompt of 32,768 tokens. */
export const placeQueueMax = 256
/** Their bytes. They are in memory until they are placed. */
export const placeQueueBytesMax: number = 256 * MiB
/** Blocks looked for together before they are placed, so that a prompt costs one question. */
export const placeBatchMax = 16
/** Blocks being coded and placed at once: one is coded while the other's shards travel. */
export const placesMax = 2
/** Times that shards which were refused are offered to others. */
export const placeRoundsMax = 3
/** Longest that a peer takes to pull and store a shard: 28 MiB at 4 Mbit/s. */
export const holdTimeoutMs = 60_000
/** Shards being pulled from one peer, which places two blocks at once, and some repairs. */
export const holdsPerPeerMax = 8
/** Shards being pulled in all: each may have `sealedBlockBytesMax`, most have 0.5 MiB. */
export const holdsMax = 32
/** Bytes of shards being pulled in all. */
export const holdBytesMax: number = 256 * MiB
/** Requests to hold that a peer may send at once: two prompts of 65,536 tokens. */
export const holdBurst = 1_024
/** Requests to hold per second that a peer may keep up: 1 Gbit/s of shards of 1 MiB. */
export const holdsPerSecond = 128
/** Share of the shard store that is held for one peer at most. */
export const shardShareOfPeer = 0.25
/** Bytes of blocks being fetched or waiting to be taken: the next ones are on their way by then. */
export const fetchAheadBytesMax: number = 64 * MiB
/** Peers to which connections are opened while it is decided whether to fetch: first come. */
export const expectedSendersMax = 4
/** Shards on their way from one peer: while one is checked and stored the next one comes. */
export const transfersPerPeerMax = 2
/** Longest silence of a peer that sends a shard. */
export const shardStallMs = 5_000
/** Pieces in which a shard is sent: those of the direct path. */
export const shardPieceBytes: number = MiB
/**
 * Memory that is kept ready for blocks that will come, and again as a state file: a prompt of 2,000
 * tokens of a model of 135 M parameters. Only where blocks are large.
 */
export const readyMemoryBytesMax: number = 48 * MiB
/** It is made ready when nothing was taken for so long. */
export const readyMemoryIdleMs = 2_000
/** Most of the memory that the system has left. */
export const readyMemoryShare = 0.125
/** Memory touched for the first time in one turn of the event loop: 0.4 ms per MiB. */
export const touchedAtOnceBytes: number = 4 * MiB
/** Memory of blocks that were sent, kept for the next ones: two transfers of two small models. */
export const spareMemoryBytesMax: number = 16 * MiB
/** How long it is kept when nothing is sent. */
export const spareMemoryIdleMs = 10_000
/** Manifests of blocks being sent that are kept decoded. */
export const servedManifestsMax = 256
/** Bytes of shards that are streamed to one peer at once. */
export const shardsServedPerPeerBytesMax: number = 128 * MiB
/** The same for all peers. What is sent from disk takes memory by the piece only. */
export const shardsServedBytesMax: number = 512 * MiB
/** Providers of one block that are asked for it: all shards of the widest code in use. */
export const blockProvidersMax = 16
/** Blocks of one question for providers. Longer chains take several, each as far as it reaches. */
export const findBlocksMax = 1_024

/** Bytes of one message on the direct path: it costs its sender little beside so many bytes. */
export const directPieceBytes: number = MiB
/**
 * Bytes of one piece that the reader of a direct call gets, and of the memory that it lies in: a
 * sender that keeps up `shardBytesPerSecondMin` is heard of every few seconds.
 */
export const directRoomBytes: number = 256 * KiB
/** The same where bytes travel as a stream, beside everything else on its connection. */
export const streamedPieceBytes: number = 256 * KiB
/** Pieces that wait for their reader before its connection is left unread: 1 MiB per call. */
export const directPiecesAheadMax = 4
/** Pieces' memory that a direct connection keeps for the next ones: one is filled, one is read. */
export const directRoomsKeptMax = 2
/** How long it keeps it when it is not used. */
export const directRoomsIdleMs = 10_000
/** Direct connections to one peer, one call each at a time; further calls go over streams. */
export const directConnectionsPerPeerMax = 8
/** The same, accepted from one peer: those that it is giving up are counted here for a moment. */
export const directAcceptedPerPeerMax: number = 2 * directConnectionsPerPeerMax
/** Direct connections accepted in all, about 100 KiB each. Past it peers use their streams. */
export const directAcceptedMax = 1_024
/** Time to open a direct connection: three round trips, and one lost packet. */
export const directDialTimeoutMs = 3_000
/** How long a peer that could not be reached directly is not tried again. */
export const directRetryMs = 300_000
/** An unused direct connection is closed by who opened it; the other end waits twice as long. */
export const directIdleMs = 300_000
/** Direct connections that are open before there is a call for them: to the first members. */
export const directAheadMax = 4
/** How long a member has been connected by then: what it connected for may come first. */
export const directAheadMs = 100
/** How often the sender of bytes shows that it still works at them; a third of the silence. */
export const directSignOfLifeMs = 10_000
/**
 * What of a call that was given up is read and thrown away, to keep its connection: less than a new
 * connection costs on most paths.
 */
export const directDiscardBytesMax: number = 2 * MiB
/** And for how long. */
export const directDiscardMs = 1_000
/** Bytes sent in one turn of the event loop: 0.5 ms at 2 GB/s. */
export const directTurnBytes: number = MiB
/**
 * How far ahead of its reader whoever serves bytes may be, in what both systems' buffers hold: 6
 * MiB on Linux unless somebody raised it.
 */
export const bytesAheadMax: number = 16 * MiB

/**
 * Blocks that one tier's index knows, about 100 bytes each: what a disk of 256 GiB holds of a small
 * model.
 */
export const prefixIndexBlocksMax = 1_048_576
/** Blocks remembered as asked for once: 16 M tokens of prompts, about 150 bytes each. */
export const seenBlocksMax = 131_072
/** Resident blocks remembered as resting on blocks of peers; about 300 bytes each. */
export const unauditedBlocksMax = 131_072
/** Answers remembered as computed on KV state of peers; about 250 bytes each. */
export const basedAnswersMax = 65_536
/**
 * Bytes waiting to be sealed and stored, those that came sealed counted twice: five of the largest
 * blocks, 90 of a small model's.
 */
export const prefixFillBytesMax: number = 256 * MiB
/**
 * How long blocks of peers wait to be stored while somebody waits for a first token, in
 * milliseconds: longer than most do, and short beside the time that they stay in memory.
 */
export const prefixFillHoldMsMax = 5_000
/** Blocks waiting to be sealed and stored: a prompt of 131,072 tokens. */
export const prefixFillsMax = 1_024
/** Models whose rates are remembered. */
export const prefixRatesMax = 64
/** How long a measured speed of importing or of the disk is believed without another use. */
export const prefixRateAgeMsMax = 60_000
/** Runs of blocks that wait for their audit in idle time. Each holds the tokens of its prompt. */
export const auditsWaitingMax = 64
/** Blocks read from disk and opened ahead of the engine that imports them. */
export const prefixReadAheadMax = 3

/**
 * Shards of one object that are coded together. A block of 128 tokens of the largest models in f16
 * has 40 MiB, of those without grouped queries 64 MiB, coded as 14 shards 112 MiB.
 */
export const codedBytesMax: number = 256 * MiB
/**
 * Shards that are coded in place, together: it takes half a millisecond, hashes included. Waking a
 * thread and copying would take as long.
 */
export const codedInPlaceBytesMax: number = 512 * KiB
/** Objects coded by the threads at once: the next is copied while one is computed. */
export const codingMax = 2
/** Objects that wait for it. Their owners hold them anyway; past it coding cannot keep up. */
export const codingWaitingMax = 64
/** Bytes copied into shared memory per turn of the event loop: half a millisecond. */
export const codingCopyBytes: number = MiB
/** Time without work after which the coding threads end: each holds about 10 MiB. */
export const codingIdleMs = 30_000
/** Slowest that a shard may come: whoever sends byte by byte would hold a place for ever. */
export const shardBytesPerSecondMin: number = 64 * KiB

/** Characters of prompts whose tokens are remembered: a few prompts of 16,384 tokens. */
export const tokenizedCharsMax: number = 256 * KiB
