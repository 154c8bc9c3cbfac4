import { blockCodecCompliance } from '../../interface/block-codec.compliance.ts'
import { systemRandom } from '../../std/random.ts'
import { InlineBlockCodec } from './inline-block-codec.ts'

blockCodecCompliance('InlineBlockCodec', () => new InlineBlockCodec({ random: systemRandom }))
