import type { SecondCase } from './second-implementation.ts'

export interface VectorCase extends SecondCase {
  readonly name: string
}

const base: SecondCase = {
  issuerSeed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
  lookupKey: '5d'.repeat(32),
  modelId: `sha256:${'ab'.repeat(32)}`,
  numericClass: `sha256:${'ab'.repeat(32)} · llama.cpp b9999 · cpu · kv f16`,
  counts: [21, 3, 0],
  unauditedTokens: 0,
  choices: [
    {
      finish: 'stop',
      stopSequence: null,
      parts: [['text', 'Tomorrow.']],
      tokenIds: [40_991, 13, 0],
      logprobs: null,
    },
  ],
  leaves: [
    {
      tokenId: 40_991,
      logprob: -0.1,
      sketch: [
        { tokenId: 40_991, logprob: -0.1 },
        { tokenId: 7, logprob: -2.5 },
        { tokenId: 5, logprob: -2.5001 },
      ],
    },
    { tokenId: 13, logprob: -1.00048828125, sketch: [] },
    { tokenId: 0, logprob: 0, sketch: [{ tokenId: 4_294_967_295, logprob: -40 }] },
  ],
  seed: '18446744073709551615',
  issuedAt: 1_800_000_000_000,
  expiresAt: 1_802_592_000_000,
}

/** Every field at its edges. */
export const vectorCases: readonly VectorCase[] = [
  { ...base, name: 'a plain answer' },
  { ...base, name: 'without leaves', leaves: null, seed: '0' },
  {
    ...base,
    name: 'of an upstream',
    modelId: 'name:gpt-größer 🙂',
    numericClass: 'upstream',
    counts: [300, 70_000, 65_536],
    choices: [
      {
        finish: 'length',
        stopSequence: null,
        parts: [
          ['reasoning', 'Hm …'],
          ['text', 'x'.repeat(300)],
        ],
        tokenIds: null,
        logprobs: null,
      },
    ],
    leaves: null,
    seed: null,
    issuedAt: 0,
    expiresAt: 8_640_000_000_000_000,
  },
  {
    ...base,
    name: 'two choices, a tool call, log-probabilities',
    issuerSeed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    counts: [5, 3, 1],
    choices: [
      {
        finish: 'stop',
        stopSequence: 'END',
        parts: [['text', 'Größe 日本 🙂']],
        tokenIds: [65_536],
        logprobs: [
          {
            token: 'Gr',
            bytes: '4772',
            logprob: -0.00048828125,
            top: [{ token: '\ufffd', bytes: 'c3', logprob: -23.456 }],
          },
        ],
      },
      {
        finish: 'tool_calls',
        stopSequence: null,
        parts: [['tool-call', 'call_1', 'weather', '{"city":"Oslo"}']],
        tokenIds: [1, 2],
        logprobs: null,
      },
    ],
    leaves: [
      { tokenId: 65_536, logprob: -0.00048828125, sketch: [] },
      { tokenId: 1, logprob: -3, sketch: [] },
      { tokenId: 2, logprob: -4, sketch: [] },
    ],
  },
  {
    ...base,
    name: 'on KV state of a peer that was not audited',
    counts: [2_050, 3, 0],
    unauditedTokens: 2_048,
  },
  {
    ...base,
    name: 'of an upstream, on KV state of a peer that was not audited',
    numericClass: 'upstream',
    counts: [2_050, 3, 0],
    unauditedTokens: 2_050,
    choices: base.choices.map(choice => ({ ...choice, tokenIds: null })),
    leaves: null,
    seed: null,
  },
  {
    ...base,
    name: 'an empty answer',
    counts: [1, 0, 0],
    choices: [{ finish: 'stop', stopSequence: null, parts: [], tokenIds: [], logprobs: null }],
    leaves: [],
  },
]
