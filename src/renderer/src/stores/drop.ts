/** A file that was dropped on the window, until the guests' view takes it. */
import { defineStore } from 'pinia'
import { shallowRef } from 'vue'

export const useDropStore = defineStore('drop', () => {
  const file = shallowRef<File | null>(null)
  function take(): File | null {
    const taken = file.value
    file.value = null
    return taken
  }
  return { file, take }
})
