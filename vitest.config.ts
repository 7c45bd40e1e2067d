import { resolve } from 'node:path'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'

/** Unit tests sit beside their sources; larger proofs in guests/. End-to-end tests are Playwright's. */
export default defineConfig({
  plugins: [vue()],
  resolve: { alias: { '@shared': resolve('src/shared') } },
  test: {
    include: ['src/**/*.spec.ts', 'guests/**/*.spec.ts', 'scripts/**/*.spec.ts'],
    testTimeout: 400_000,
    maxWorkers: 2,
  },
})
