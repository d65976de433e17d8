// PROTOBUF_NATIVE schemas: the descriptors that they keep, resolved by the library.
import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Misfit } from './misfit.ts';
import { messageReader, type ProtobufSlot } from './protobuf-message.ts';

/** What a PROTOBUF_NATIVE schema describes: ProtobufNativeSchemaData of the Java client, as JSON. @throws what is wrong */
export function protobufNativeSlot(definition: string): ProtobufSlot {
  const { fileDescriptorSet, rootMessageTypeName } = JSON.parse(definition) as Record<string, unknown>;
  if (typeof fileDescriptorSet !== 'string' || typeof rootMessageTypeName !== 'string')
    throw new Misfit('it has no descriptors');
  const { file } = fromBinary(FileDescriptorSetSchema, Buffer.from(fileDescriptorSet, 'base64'));
  return protobufSlot(file, rootMessageTypeName);
}

/** A message of these files, by its full name. @throws what is wrong with the files */
export function protobufSlot(files: readonly FileDescriptorProto[], typeName: string): ProtobufSlot {
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: inOrder(files) }));
  const message = registry.getMessage(typeName);
  if (message === undefined) throw new Misfit(`the message ${typeName} is not defined`);
  return messageReader(
    message,
    [...registry].filter((one) => one.kind === 'extension'),
  );
}

/** The library wants each file behind those that it imports; Java writes them in any order. */
function inOrder(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const byName = new Map(files.map((file) => [file.name, file]));
  const ordered = new Set<FileDescriptorProto>();
  const visited = new Set<FileDescriptorProto>();
  const visit = (file: FileDescriptorProto) => {
    if (visited.has(file)) return;
    visited.add(file);
    for (const name of file.dependency) {
      const imported = byName.get(name);
      if (imported !== undefined) visit(imported);
    }
    ordered.add(file);
  };
  for (const file of files) visit(file);
  return [...ordered];
}
