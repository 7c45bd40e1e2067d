/** The one EngineClient of this page. Created by main.ts (a fake in component tests) and injected by key. */
import { inject, type InjectionKey } from 'vue'
import type { EngineClient } from './client'

export const ENGINE: InjectionKey<EngineClient> = Symbol('engine')

/** The engine, inside a component's setup. */
export function useEngine(): EngineClient {
  const engine = inject(ENGINE)
  if (!engine) throw new Error('no engine was provided')
  return engine
}
