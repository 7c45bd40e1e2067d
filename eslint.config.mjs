/**
 * Lint rules that carry the architecture. The layer rule: imports point only downwards (docs:
 * ARCHITECTURE.md). Type-only imports may look upwards inside src/emu, because they vanish when compiled; values may not.
 */
import tseslint from 'typescript-eslint'
import vue from 'eslint-plugin-vue'
import vueParser from 'vue-eslint-parser'
import importX from 'eslint-plugin-import-x'

/** src/emu's layers, lowest first. */
const EMU_LAYERS = ['bits', 'layout', 'asm', 'mmu', 'cpu', 'machine', 'host', 'lguest', 'launcher']

/** Forbids, for files of each layer, imports from the layers above it and from anything outside src/emu. */
const layerRules = EMU_LAYERS.map((layer, rank) => ({
  files: [`src/emu/${layer}/**/*.ts`],
  ignores: ['**/*.spec.ts'],
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: `^(\\.\\./)+(${[...EMU_LAYERS.slice(rank + 1), 'testing'].join('|')})/`,
            allowTypeImports: layer === 'mmu' || layer === 'layout',
            message: `src/emu/${layer} may import only from layers below it: ${EMU_LAYERS.slice(0, rank).join(', ') || 'none'}.`,
          },
          {
            regex: '^(\\.\\./)+(engine|cli|main|preload|renderer|shared)/',
            message: 'src/emu knows nothing of the programs around it.',
          },
          { regex: '^(node:|electron|vue|@xterm|ws)', message: 'src/emu runs anywhere: no Node, Electron or DOM.' },
        ],
      },
    ],
  },
}))

/** A wall between two worlds: files of `from` never import from `to`. */
const wall = (from, to, message) => ({
  files: [from],
  ignores: ['**/*.spec.ts'],
  rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns: [{ regex: to, message }] }] },
})

export default tseslint.config(
  { ignores: ['out/', 'dist/', 'node_modules/', 'coverage/', 'test-results/', 'playwright-report/', '.cache/'] },
  ...tseslint.configs.recommended,
  ...tseslint.configs.stylistic,
  ...vue.configs['flat/recommended'].map((config) => ({ ...config, files: ['**/*.vue'] })),
  {
    files: ['**/*.vue'],
    languageOptions: { parser: vueParser, parserOptions: { parser: tseslint.parser } },
    rules: {
      'vue/max-attributes-per-line': 'off',
      'vue/singleline-html-element-content-newline': 'off',
      'vue/html-self-closing': 'off',
      'vue/html-indent': 'off',
      'vue/multiline-html-element-content-newline': 'off',
      'vue/html-closing-bracket-newline': 'off',
      'vue/multi-word-component-names': 'off',
    },
  },
  {
    files: ['**/*.ts', '**/*.vue', '**/*.mjs'],
    plugins: { 'import-x': importX },
    settings: { 'import-x/resolver': { node: { extensions: ['.ts', '.mjs', '.js', '.vue'] } } },
    rules: {
      'import-x/no-cycle': ['error', { ignoreExternal: true }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-console': 'off',
      eqeqeq: 'error',
    },
  },
  ...layerRules,
  wall(
    'src/renderer/**/*',
    '/(main|engine|cli|emu|preload)/',
    'The renderer talks to the engine by the protocol only.',
  ),
  wall('src/main/**/*', '/renderer/', 'Main never imports the renderer.'),
  wall('src/engine/**/*', '/(main|web|cli|renderer|preload)/', 'The engine knows nothing of its fronts.'),
  wall('src/web/**/*', '/(main|cli|renderer|preload)/', 'The web front knows nothing of the command line.'),
  wall(
    'src/shared/**/*',
    '/(main|engine|cli|emu|renderer|preload)/',
    'src/shared is what both sides share; it imports neither.',
  ),
)
