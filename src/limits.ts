/** Every bound in the system, with the reason for its value. When a limit is hit, work is refused and counted. */

export const KiB = 1024
export const MiB: number = 1024 * KiB
export const GiB: number = 1024 * MiB

/** Largest request body. The biggest agent bodies seen are 65 KB; a 1 M-token prompt with images fits in 32 MiB. */
export const bodyBytesMax: number = 32 * MiB
/** Deepest nesting of a request body. JSON schemas of real tools stay below 20. */
export const bodyDepthMax = 64
/** Largest header block node:http accepts. Coding agents send up to 4 KB of metadata headers. */
export const headerBytesMax: number = 32 * KiB
/** Open connections. One client rarely holds more than 64; 2,000 must be served (fault test). */
export const connectionsMax = 8_192
/** Time for a client to send its whole request. A 32 MiB body over 2 Mbit/s takes 128 s. */
export const requestTimeoutMs = 180_000
/** How long an idle keep-alive connection is kept. Longer than the 60 s of common proxies, so that they close first. */
export const keepAliveTimeoutMs = 75_000
/** Choices of one request (`n`): OpenAI's own limit is 128, but each one costs a full generation here. */
export const choicesMax = 16
/** Stop strings of one request. OpenAI allows 4; Anthropic and vLLM more. */
export const stopStringsMax = 16
/** Top log-probabilities of a token: OpenAI's limit. */
export const topLogprobsMax = 20
/** Highest sample number: beyond it nobody draws again, and a counter overflow would alias keys. */
export const sampleMax = 1_000_000

/** Largest answer that is kept. A 128 k-token answer with log-probabilities is about 24 MiB of events; text alone < 1 MiB. */
export const answerBytesMax: number = 16 * MiB
/** Events one flight keeps for late followers, before coalescing. 262,144 tokens is above every output limit known. */
export const flightEventsMax = 262_144
/** Flights at once. Each holds at most one answer; the engine's queue refuses long before. */
export const flightsMax = 4_096
/** Followers of one flight. 2,000 clients of one key is a tested case. */
export const flightFollowersMax = 16_384

/** Requests waiting for a sequence of the embedded engine. More would wait for minutes; a 429 is kinder. */
export const engineQueueMax = 256
/** Embedding inputs of one request: OpenAI's limit. */
export const embeddingInputsMax = 2_048

/** Opened records and their ready-made replies kept in memory, in bytes. Roughly 10,000 answers of 2 KB. */
export const openedBytesMax: number = 64 * MiB
/** Raw bodies whose key is remembered, so that a byte-equal body skips parsing. 32 bytes of digest each. */
export const rawDigestsMax = 65_536
/** Answers waiting to be written to disk. 1,024 × 2 KB is nothing; past it the disk cannot keep up and answers are shed. */
export const fillQueueMax = 1_024

/** Time that requests in flight get to finish after SIGTERM. */
export const drainTimeoutMs = 30_000
/** Time without a byte from an upstream before the request fails. Cold loads of big models take minutes. */
export const upstreamIdleTimeoutMs = 300_000
/** Time to connect to an upstream. */
export const upstreamConnectTimeoutMs = 10_000
/** Largest error body kept from an upstream. */
export const upstreamErrorBytesMax: number = 64 * KiB
/** Largest single server-sent event accepted from an upstream. */
export const upstreamEventBytesMax: number = 4 * MiB
/** Models listed from one upstream. */
export const upstreamModelsMax = 4_096
