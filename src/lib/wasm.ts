// Loads WebAssembly modules, which the source contains in base64, assembled from *.wat. A module that does not load
// is a fault of the build; tests assemble each again and compare.

/** Node has it; the types of Node alone do not. */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: {
    Module: new (code: Uint8Array) => object;
    Instance: new (module: object, imports?: Imports) => { exports: object };
  };
};

/** What a module imports, by its module's name and its own. */
type Imports = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** What a module with a memory of its own exports besides its functions. */
export interface WithMemory {
  readonly memory: { readonly buffer: ArrayBuffer };
}

/** Loads a module, at once; `T` is what it exports. */
export function instantiate<T>(base64: string, imports?: Imports): T {
  return new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(base64, 'base64')), imports)
    .exports as unknown as T;
}

/** The result of `make`, which is called at the first call. */
export function once<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
