/**
 * `kennel bench interp`: instructions a second of the interpreter, on loops that each stress something else. Paging is on, as it is for
 * everything a guest does.
 */
import { run } from '../src/emu/cpu/run.ts'
import { CpuDriver } from '../src/emu/testing/cpu-driver.ts'

export interface InterpResult {
  readonly name: string
  /** Million instructions a second. */
  readonly mips: number
}

const PROGRAMS: Readonly<Record<string, string>> = {
  integer: `l: add eax, ebx
    xor edx, eax
    inc ecx
    lea esi, [eax+edx*4+3]
    and esi, 0xffff
    cmp ecx, 0x1000000
    jne l
    jmp l`,
  shifts: `l: shl eax, 3
    or eax, ecx
    shr edx, 5
    rol ebx, 7
    dec ecx
    jnz l
    jmp l`,
  memory: `l: mov eax, [0x20000+ecx*4]
    add eax, 1
    mov [0x20000+ecx*4], eax
    inc ecx
    and ecx, 0xfff
    add dword [0x30000], eax
    jmp l`,
  calls: `l: push eax
    push ebx
    call f
    add esp, 8
    jmp l
  f: push ebp
    mov ebp, esp
    mov eax, [ebp+8]
    add eax, [ebp+12]
    leave
    ret`,
  branches: `l: imul eax, eax, 1103515245
    add eax, 12345
    test eax, 0x10000
    jz a
    inc ebx
  a: test eax, 0x20000
    jz b
    inc edx
  b: test eax, 0x40000
    jz l
    dec edx
    jmp l`,
  bytes: `l: movzx eax, byte [esi+0x20000]
    inc esi
    and esi, 0xfff
    test al, al
    jne l
    mov byte [esi+0x21000], 1
    jmp l`,
}

const WARM_UP = 2_000_000
const MEASURED = 20_000_000

export function benchInterp(report: (result: InterpResult) => void): InterpResult[] {
  return Object.entries(PROGRAMS).map(([name, source]) => {
    const driver = new CpuDriver()
    driver.enablePaging()
    driver.load(source)
    run(driver.cpu, WARM_UP)
    const start = performance.now()
    const done = run(driver.cpu, MEASURED)
    const result = { name, mips: done / (performance.now() - start) / 1000 }
    report(result)
    return result
  })
}

/** What keeps the figures where they are: known from profiles. */
export const INTERP_LIMIT =
  'What limits it: one indirect call an instruction, and the flags record an arithmetic one stores; memory operands add a TLB load.'
