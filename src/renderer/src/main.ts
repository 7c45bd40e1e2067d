/** The renderer's entry: opens the connection, connects the stores to it, mounts the application. */
import { createPinia } from 'pinia'
import { createApp } from 'vue'
import '@xterm/xterm/css/xterm.css'
import { i18n } from './i18n'
import './styles/tokens.css'
import './styles/base.css'
import App from './App.vue'
import { createAppRouter } from './router'
import { EngineClient } from './services/client'
import { ENGINE } from './services/engine'
import { openTransport } from './services/transport'
import { connectStores } from './stores/connect'

const engine = new EngineClient(openTransport())
const app = createApp(App).use(createPinia()).use(i18n)
connectStores(engine)
const router = createAppRouter(true)
app.use(router).provide(ENGINE, engine).mount('#app')
/** A console in a window of its own begins there. */
const detached = new URLSearchParams(location.search).get('detached')
if (detached) void router.replace({ name: 'guest', params: { id: detached } })
