/** The map of the views. Hash history is taken by the web front's token, so the routes live in memory of the history. */
import { createRouter, createWebHistory, createMemoryHistory, type Router } from 'vue-router'
import { type MessageKey } from '../i18n'

declare module 'vue-router' {
  interface RouteMeta {
    /** The view's name, for the main region. */
    title?: MessageKey
  }
}

export function createAppRouter(memory = false): Router {
  return createRouter({
    history: memory ? createMemoryHistory() : createWebHistory(),
    routes: [
      {
        path: '/',
        name: 'guests',
        component: () => import('../views/GuestsView.vue'),
        meta: { title: 'guestsView.title' },
      },
      {
        path: '/guest/:id',
        name: 'guest',
        component: () => import('../views/GuestView.vue'),
        props: true,
        meta: { title: 'guestView.title' },
      },
      {
        path: '/split',
        name: 'split',
        component: () => import('../views/SplitView.vue'),
        meta: { title: 'splitView.title' },
      },
      {
        path: '/inspector/:cpu(\\d)?',
        name: 'inspector',
        component: () => import('../views/InspectorView.vue'),
        meta: { title: 'inspectorView.title' },
      },
      {
        path: '/host',
        name: 'host',
        component: () => import('../views/HostView.vue'),
        meta: { title: 'hostView.title' },
      },
      {
        path: '/settings',
        name: 'settings',
        component: () => import('../views/SettingsView.vue'),
        meta: { title: 'settingsView.title' },
      },
      {
        path: '/logs',
        name: 'logs',
        component: () => import('../views/LogsView.vue'),
        meta: { title: 'logsView.title' },
      },
      { path: '/:rest(.*)', redirect: '/' },
    ],
  })
}
