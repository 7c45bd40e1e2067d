import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'electron-vite'

/** iced-x86 (the engine's disassembler) reads its WebAssembly from beside the file it is bundled into. */
const icedWasm = {
  name: 'kennel:iced-wasm',
  generateBundle(this: { emitFile(file: { type: 'asset'; fileName: string; source: Uint8Array }): string }): void {
    const fileName = 'iced_x86_bg.wasm'
    this.emitFile({ type: 'asset', fileName, source: readFileSync(resolve('node_modules/iced-x86', fileName)) })
  },
}

/**
 * The three worlds of the app: main and the engine (Node), preload (one sandboxed CommonJS file), renderer (Vue).
 * Everything is bundled, so the package carries no node_modules.
 */
export default defineConfig({
  main: {
    plugins: [icedWasm],
    build: {
      externalizeDeps: false,
      rollupOptions: {
        input: { index: resolve('src/main/index.ts'), engine: resolve('src/engine/entry.ts') },
        external: ['electron'],
      },
    },
  },
  preload: {
    build: {
      externalizeDeps: false,
      rollupOptions: {
        input: { index: resolve('src/preload/index.ts') },
        external: ['electron'],
        output: { format: 'cjs', entryFileNames: '[name].cjs' },
      },
    },
  },
  renderer: {
    root: resolve('src/renderer'),
    build: { rollupOptions: { input: resolve('src/renderer/index.html') } },
    resolve: { alias: { '@shared': resolve('src/shared') } },
    plugins: [vue()],
  },
})
