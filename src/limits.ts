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

/** Log lines that wait for the disk. When it is full they would otherwise fill the memory. */
export const logBufferBytesMax: number = MiB
/** Lines of the log that are shown at most: more is a job for the file itself. */
export const logLinesMax = 1_000_000
