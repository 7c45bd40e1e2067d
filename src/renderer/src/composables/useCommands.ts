/**
 * Every action of the app as a command: the palette lists them, shortcuts run them, the application menu sends their
 * names. One list, so that nothing is reachable by mouse alone.
 */
import { tinykeys } from 'tinykeys'
import { computed, onMounted, onUnmounted, type ComputedRef } from 'vue'
import { useRouter } from 'vue-router'
import { canAct, GUEST_ACTIONS } from '@shared/guest'
import { t } from '../i18n'
import { useEngine } from '../services/engine'
import { saveBytes } from '../services/files'
import { useDebugStore } from '../stores/debug'
import { useGuestsStore } from '../stores/guests'
import { useInspectorStore } from '../stores/inspector'
import { useNoticesStore } from '../stores/notices'
import { useSettingsStore } from '../stores/settings'

export interface Command {
  id: string
  title: string
  /** tinykeys notation: "$mod+K"; empty when there is none. */
  keys: string
  run: () => void
}

export function useCommands(dialogs: { openPalette: () => void; openShortcuts: () => void }): {
  commands: ComputedRef<Command[]>
} {
  const router = useRouter()
  const guests = useGuestsStore()
  const settings = useSettingsStore()
  const debug = useDebugStore()
  const inspector = useInspectorStore()
  const notices = useNoticesStore()
  const engine = useEngine()
  const go = (to: string) => () => void router.push(to)
  async function saveDiagnostics(): Promise<void> {
    const result = await notices.guard(engine.request('diagnostics'))
    if (result) saveBytes(result.name, new TextEncoder().encode(result.text))
  }
  function openSplit(): void {
    const ids = guests.running.slice(0, 4).map((g) => g.id)
    void router.push(`/split?ids=${ids.join(',')}`)
  }

  const fixed = computed<Command[]>(() => [
    { id: 'palette', title: t('commands.showAll'), keys: '$mod+KeyK', run: dialogs.openPalette },
    { id: 'shortcuts', title: t('commands.showShortcuts'), keys: '$mod+Slash', run: dialogs.openShortcuts },
    { id: 'go.guests', title: t('commands.goGuests'), keys: 'Alt+Digit1', run: go('/') },
    { id: 'go.inspector', title: t('commands.goInspector'), keys: 'Alt+Digit2', run: go('/inspector') },
    { id: 'go.host', title: t('commands.goHost'), keys: 'Alt+Digit3', run: go('/host') },
    { id: 'go.logs', title: t('commands.goLogs'), keys: 'Alt+Digit4', run: go('/logs') },
    { id: 'go.settings', title: t('commands.goSettings'), keys: '$mod+Comma', run: go('/settings') },
    { id: 'new', title: t('commands.newGuest'), keys: 'Alt+KeyN', run: go('/?new=1') },
    { id: 'import', title: t('commands.importGuest'), keys: '', run: go('/?import=1') },
    { id: 'diagnostics', title: t('common.saveDiagnostics'), keys: '', run: () => void saveDiagnostics() },
    { id: 'debug.toggle', title: t('commands.togglePause'), keys: 'F8', run: () => void debug.togglePause() },
    { id: 'debug.step', title: t('commands.step'), keys: 'F10', run: () => void debug.step() },
    { id: 'debug.stepSwitch', title: t('commands.stepSwitch'), keys: 'F11', run: () => void debug.stepSwitch() },
    {
      id: 'inspect.freeze',
      title: t('commands.freeze'),
      keys: 'F9',
      run: () => (inspector.frozen = !inspector.frozen),
    },
    {
      id: 'inspect.explain',
      title: t('commands.explain'),
      keys: '',
      run: () => (inspector.explaining = !inspector.explaining),
    },
    { id: 'split', title: t('commands.split'), keys: 'Alt+KeyS', run: openSplit },
    {
      id: 'copy.toggle',
      title: t('commands.toggleCopy'),
      keys: 'Alt+KeyC',
      run: () => void settings.change({ copy: settings.settings?.copy === 'always' ? 'elide' : 'always' }),
    },
    {
      id: 'theme.toggle',
      title: t('commands.toggleTheme'),
      keys: 'Alt+KeyT',
      run: () => void settings.change({ theme: settings.theme === 'dark' ? 'light' : 'dark' }),
    },
  ])

  const commands = computed<Command[]>(() => {
    const perCpu = Array.from({ length: debug.host?.cpus ?? 0 }, (_, n) => ({
      id: `inspect.${n}`,
      title: t('commands.inspectCpu', { n }),
      keys: '',
      run: go(`/inspector/${n}`),
    }))
    const perGuest = guests.list.flatMap((g) => [
      {
        id: `console.${g.id}`,
        title: t('commands.openConsole', { name: g.config.name }),
        keys: '',
        run: go(`/guest/${g.id}`),
      },
      ...GUEST_ACTIONS.filter((action) => canAct(g.state, action)).map((action) => ({
        id: `${action}.${g.id}`,
        title: t('commands.act', { name: g.config.name, action: t(`guestActions.actions.${action}`) }),
        keys: '',
        run: () => void guests.act(g.id, action),
      })),
    ])
    return [...fixed.value, ...perGuest, ...perCpu]
  })

  let unbind = (): void => {}
  onMounted(() => {
    const bindings: Record<string, (event: KeyboardEvent) => void> = {}
    for (const command of fixed.value) {
      if (command.keys === '') continue
      bindings[command.keys] = (event) => {
        event.preventDefault()
        command.run()
      }
    }
    // In the capture phase, so that the terminal does not get these keys first; and in fields too (the terminal's is a
    // textarea), which tinykeys leaves out unless told otherwise.
    unbind = tinykeys(window, bindings, { capture: true, ignore: (event) => event.repeat || event.isComposing })
  })
  onUnmounted(() => unbind())
  engine.onMenu((id) => commands.value.find((c) => c.id === id)?.run())

  return { commands }
}

/** "$mod+KeyK" as the keys a person presses. */
export function describeKeys(keys: string): string[] {
  if (keys === '') return []
  const mac = navigator.platform.startsWith('Mac')
  return keys
    .replace('$mod', mac ? '⌘' : t('keys.ctrl'))
    .replace('Alt', t('keys.alt'))
    .replace(/Key|Digit/g, '')
    .replace('Slash', '/')
    .replace('Comma', ',')
    .split('+')
}
