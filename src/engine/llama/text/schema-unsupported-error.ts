/** A schema asks for something that a grammar cannot hold the model to. */
export class SchemaUnsupportedError extends Error {
  override readonly name = 'SchemaUnsupportedError'
}
