/**
 * The application menu. Its commands are the page's own (renderer, useCommands.ts), sent by name; main does none of
 * them itself. Keys of the page's commands are shown here but left to the page, and outside macOS no key is taken
 * that a guest's console needs: Ctrl and a letter belong to the guest.
 */
import type { MenuItemConstructorOptions } from 'electron'
import type { Electron } from './electron.ts'

export interface MenuOptions {
  platform: NodeJS.Platform
  /** Adds reloading and the developer tools. */
  developer: boolean
  /** `anywhere`: the command is for whatever window is in front, not for the main one. */
  command: (id: string, anywhere: boolean) => void
}

export function setUpMenu(electron: Pick<Electron, 'Menu'>, options: MenuOptions): void {
  electron.Menu.setApplicationMenu(electron.Menu.buildFromTemplate(menuTemplate(options)))
}

export function menuTemplate({ platform, developer, command }: MenuOptions): MenuItemConstructorOptions[] {
  const mac = platform === 'darwin'
  const item = (id: string, label: string, keys = '', anywhere = false): MenuItemConstructorOptions => ({
    id,
    label,
    ...(keys === '' ? {} : { accelerator: keys, registerAccelerator: false }),
    click: () => command(id, anywhere),
  })
  const role = (name: NonNullable<MenuItemConstructorOptions['role']>, elsewhere = ''): MenuItemConstructorOptions => ({
    role: name,
    ...(mac || elsewhere === '' ? {} : { accelerator: elsewhere }),
  })
  /** Editing keys reach the page by themselves; a console has its own idea of most. */
  const edit = (name: NonNullable<MenuItemConstructorOptions['role']>): MenuItemConstructorOptions => ({
    role: name,
    registerAccelerator: false,
  })
  const line: MenuItemConstructorOptions = { type: 'separator' }
  const settings = item('go.settings', 'Settings…', 'CmdOrCtrl+,')

  const app: MenuItemConstructorOptions = {
    role: 'appMenu',
    submenu: [
      { role: 'about' },
      line,
      settings,
      line,
      { role: 'services' },
      line,
      { role: 'hide' },
      { role: 'hideOthers' },
      { role: 'unhide' },
      line,
      { role: 'quit' },
    ],
  }
  return [
    ...(mac ? [app] : []),
    {
      label: 'File',
      submenu: [
        item('new', 'New guest…', 'Alt+N'),
        item('import', 'Import a guest…'),
        line,
        ...(mac ? [] : [settings, line]),
        role('close', 'Ctrl+Shift+W'),
        ...(mac ? [] : [role('quit', 'Ctrl+Shift+Q')]),
      ],
    },
    {
      label: 'Edit',
      submenu: [edit('undo'), edit('redo'), line, edit('cut'), edit('copy'), edit('paste'), edit('selectAll')],
    },
    {
      label: 'View',
      submenu: [
        item('palette', 'All commands…', 'CmdOrCtrl+K', true),
        line,
        item('go.guests', 'Guests', 'Alt+1'),
        item('go.inspector', 'CPU inspector', 'Alt+2'),
        item('go.host', 'Host', 'Alt+3'),
        item('go.logs', 'Logs', 'Alt+4'),
        item('split', 'Consoles side by side', 'Alt+S'),
        line,
        item('theme.toggle', 'Light or dark', 'Alt+T'),
        { role: 'resetZoom' },
        { role: 'zoomIn' },
        { role: 'zoomOut' },
        // F11 is the debugger's.
        role('togglefullscreen', 'Shift+F11'),
        ...(developer ? [line, role('reload', 'Ctrl+Shift+R'), role('toggleDevTools')] : []),
      ],
    },
    {
      label: 'Host',
      submenu: [
        item('debug.toggle', 'Pause or resume the host', 'F8'),
        item('debug.step', 'Step one instruction', 'F10'),
        item('debug.stepSwitch', 'Step to the next world switch', 'F11'),
        line,
        item('inspect.freeze', 'Freeze the inspector, or let it go on', 'F9'),
        item('inspect.explain', 'Explain the inspector’s panels'),
        line,
        item('copy.toggle', 'Copy always or elide copies', 'Alt+C'),
      ],
    },
    ...(mac ? [{ role: 'windowMenu' } satisfies MenuItemConstructorOptions] : []),
    {
      role: 'help',
      submenu: [
        item('shortcuts', 'Keyboard shortcuts', 'CmdOrCtrl+/', true),
        item('diagnostics', 'Save diagnostics…'),
        ...(mac ? [] : [line, { role: 'about' } satisfies MenuItemConstructorOptions]),
      ],
    },
  ]
}
