export type { NodeStatus } from './client/node-status.ts'
export { type Config, type ConfigSources, type ResolvedConfig, resolveConfig } from './config.ts'
export { type ErrorCode, OperationError, type Origin } from './errors.ts'
export { createNode, type HyperspaceNode, type NodeOverrides } from './node.ts'
