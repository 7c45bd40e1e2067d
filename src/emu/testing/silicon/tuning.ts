/**
 * What single instructions need to be tested well, by opcode: shift counts from 0 to 33, divisors that do not always overflow,
 * pointers of string instructions, a stack, code addresses to branch to, selectors to load. Without tuning an instruction gets plain
 * random operands; tuning only makes cases more telling or keeps them from running into memory that is not theirs.
 */
import { hasModrm, isByteForm, isString } from './encoding.ts'
import { type Draft, PREFIX_ADDRESS, PREFIX_FS } from './draft.ts'
import { DF } from './compare.ts'
import { DATA_PAGE, EAX, EBP, EBX, ECX, EDI, EDX, ESI, ESP, MEMORY, MEMORY_SIZE, OPTION_BASED } from './protocol.ts'

const END = MEMORY + MEMORY_SIZE
const REP_PREFIXES = [0xf2, 0xf3]

/** Registers the instruction uses implicitly: they stay out of its address, so that tuning can set them. */
export function implicitRegisters(opcode: number, digit: number, reg: number): number[] {
  switch (opcode) {
    case 0xd2:
    case 0xd3:
    case 0x0fa5:
    case 0x0fad:
      return [ECX]
    case 0xf6:
    case 0xf7:
      return digit >= 4 ? [EAX, EDX] : []
    case 0x0fb0:
    case 0x0fb1:
      return [EAX]
    case 0x0fc7:
      return [EAX, EDX]
    case 0x0fa3:
    case 0x0fab:
    case 0x0fb3:
    case 0x0fbb:
    case 0x62:
      return [reg]
    default:
      return []
  }
}

/** Adjusts a draft whose operands and immediates have been chosen. */
export function tune(draft: Draft, digit: number): void {
  const { opcode } = draft
  if (isString(opcode)) tuneString(draft)
  else if (opcode === 0xd2 || opcode === 0xd3 || opcode === 0x0fa5 || opcode === 0x0fad) {
    draft.setRegister(ECX, ((draft.gpr[ECX] as number) & 0xffffff00) | shiftCount(draft))
  } else if (opcode === 0xc0 || opcode === 0xc1 || opcode === 0x0fa4 || opcode === 0x0fac) {
    draft.immediate = [shiftCount(draft)]
  } else if ((opcode === 0xf6 || opcode === 0xf7) && digit >= 6) tuneDivide(draft, digit === 7)
  else if ([0x0fa3, 0x0fab, 0x0fb3, 0x0fbb].includes(opcode)) tuneBitTest(draft)
  else if (opcode === 0x0fb0 || opcode === 0x0fb1) tuneCompareExchange(draft)
  else if (opcode === 0x0fc7) tuneCompareExchange8(draft)
  else if (opcode === 0x62) tuneBound(draft)
  else if (opcode === 0xd7) tuneXlat(draft)
  else if (opcode === 0xd4 && draft.random.oneIn(2)) draft.immediate = [draft.random.pick([0, 1, 10, 10, 16, 255])]
  else if (opcode === 0xcd) draft.immediate = [draft.random.pick([3, 4, 0, 1, 5, 0x0e, 0x21, 0x30, 0x81, 0xff])]
  else if (opcode >= 0xe0 && opcode <= 0xe3) tuneLoop(draft)
  else tuneStackAndControl(draft, digit)
}

function shiftCount({ random }: Draft): number {
  return random.pick([random.below(34), random.below(34), random.pick([0x40, 0x41, 0x7f, 0x80, 0x9f, 0xe0, 0xff])])
}

/** Reads the operand in ModRM as the instruction will. */
function modrmValue(draft: Draft, size: number): number {
  if (draft.mod !== 3) return draft.load(draft.address, size)
  if (size === 1) return ((draft.gpr[draft.rm & 3] as number) >>> (draft.rm >= 4 ? 8 : 0)) & 0xff
  const value = draft.gpr[draft.rm] as number
  return size === 2 ? value & 0xffff : value
}

/** Most random dividends overflow; this makes the high half small enough for most of them. */
function tuneDivide(draft: Draft, signed: boolean): void {
  const { random } = draft
  const size = isByteForm(draft.opcode) ? 1 : draft.operandSize / 8
  if (random.oneIn(8)) return
  const divisor = modrmValue(draft, size)
  if (divisor === 0) return
  let high = random.below(divisor)
  if (signed) {
    // Quotients near the limits: a high half of about half the divisor's magnitude, or plain sign extension.
    const sign = size === 1 ? draft.gpr[EAX] & 0x80 : size === 2 ? draft.gpr[EAX] & 0x8000 : draft.gpr[EAX] & 0x80000000
    const magnitude = Math.min(divisor, 2 ** (size * 8) - divisor)
    high = random.oneIn(2) ? (sign === 0 ? 0 : -1) : random.below((magnitude >>> 1) + 1) * random.pick([1, -1])
  }
  // A divisor in al or ah changes along; the case is still a good one.
  if (size === 1) draft.setRegister(EAX, (draft.gpr[EAX] & 0xffff00ff) | ((high & 0xff) << 8))
  else if (size === 2) draft.setRegister(EDX, (draft.gpr[EDX] & 0xffff0000) | (high & 0xffff))
  else draft.setRegister(EDX, high)
}

/** BT and family with a register offset reach beyond their operand, to both sides: kept inside the memory. */
function tuneBitTest(draft: Draft): void {
  if (draft.mod === 3) return
  const low = Math.max(0, draft.address - MEMORY) * 8
  const high = Math.max(0, END - 4 - draft.address) * 8
  const bit = draft.random.between(-low, high + 7)
  const keep = draft.operandSize === 16 ? (draft.gpr[draft.reg] as number) & 0xffff0000 : 0
  const value = draft.operandSize === 16 ? keep | (bit & 0xffff) : bit
  // The offset register may be ESP, or part of a 16-bit address: then a fixed bit of the operand itself.
  if (!draft.setRegister(draft.reg, value)) {
    draft.reg = ECX
    if (!draft.setRegister(ECX, 5)) draft.useRegisterOperand(EDX)
  }
}

function tuneCompareExchange(draft: Draft): void {
  if (draft.random.oneIn(2)) return
  const size = draft.opcode === 0x0fb0 ? 1 : draft.operandSize / 8
  const value = modrmValue(draft, size)
  const mask = size === 4 ? 0 : size === 2 ? 0xffff0000 : 0xffffff00
  draft.setRegister(EAX, (draft.gpr[EAX] & mask) | value)
}

function tuneCompareExchange8(draft: Draft): void {
  if (draft.mod === 3 || draft.random.oneIn(2)) return
  draft.setRegister(EAX, draft.load(draft.address, 4))
  draft.setRegister(EDX, draft.load(draft.address + 4, 4))
}

function tuneBound(draft: Draft): void {
  const { random } = draft
  if (draft.mod === 3) return
  const size = draft.operandSize / 8
  const index = draft.gpr[draft.reg] as number
  draft.store(draft.address, size, index - random.pick([0, 1, 10, -1]))
  draft.store(draft.address + size, size, index + random.pick([0, 1, 10, -1]))
}

function tuneXlat(draft: Draft): void {
  const { random } = draft
  const al = draft.gpr[EAX] & 0xff
  const target = MEMORY + random.below(MEMORY_SIZE)
  if (random.oneIn(3)) {
    draft.prefixes.push(PREFIX_ADDRESS, PREFIX_FS)
    draft.gpr[EBX] = ((draft.gpr[EBX] as number) & 0xffff0000) | ((target - DATA_PAGE - al) & 0xffff)
  } else draft.gpr[EBX] = target - al
}

function tuneLoop(draft: Draft): void {
  const { random } = draft
  draft.setRegister(ECX, random.pick([0, 1, 2, 0x10000, 0x10001, random.operand()]))
  draft.immediate = [random.between(0x10, 0x7f)]
  if (random.oneIn(3)) draft.prefixes.push(PREFIX_ADDRESS)
}

/** Pointers with room for the count in the direction of DF, any prefix, both address sizes; some run off the page. */
function tuneString(draft: Draft): void {
  const { random, opcode } = draft
  const size = (opcode & 1) === 0 ? 1 : draft.operandSize / 8
  if (random.oneIn(2)) draft.eflags ^= DF
  const repeat = random.oneIn(4) ? 0 : random.pick(REP_PREFIXES)
  const count = random.between(0, Math.min(9, MEMORY_SIZE / size / 2))
  const down = (draft.eflags & DF) !== 0
  const span = (repeat === 0 ? 1 : Math.max(count, 1)) * size
  const runsOff = random.oneIn(12)
  const pointer = (): number => {
    const start = MEMORY + random.between(0, MEMORY_SIZE - span)
    if (runsOff && !down) return END - random.between(1, span)
    return down ? start + span - size : start
  }
  let source = pointer()
  let destination = pointer()
  if (random.oneIn(4) && (opcode | 1) === 0xa5) destination = source + random.between(-2, 2) // overlapping
  if (destination < MEMORY || destination > END) destination = MEMORY + 16
  if (down && destination - span + size < MEMORY) destination = source = MEMORY + MEMORY_SIZE - size
  const narrow = random.oneIn(3)
  if (narrow) {
    draft.prefixes.push(PREFIX_ADDRESS)
    draft.options |= OPTION_BASED
    for (const [register, value] of [
      [ESI, source - DATA_PAGE],
      [EDI, destination - DATA_PAGE],
      [ECX, repeat === 0 ? (draft.gpr[ECX] as number) & 0xffff : count],
    ] as const) {
      draft.gpr[register] = (random.operand() & 0xffff0000) | value
    }
  } else {
    draft.gpr[ESI] = source
    draft.gpr[EDI] = destination
    if (repeat !== 0) draft.gpr[ECX] = count
    if (random.oneIn(6)) {
      draft.prefixes.push(PREFIX_FS) // the source only; the destination is always ES
      draft.gpr[ESI] = source - DATA_PAGE
    }
  }
  if (repeat !== 0) draft.prefixes.push(repeat)
  tuneComparison(draft, source, destination, size, span)
}

/** CMPS and SCAS: runs of equal elements, so that REPE and REPNE go some way. */
function tuneComparison(draft: Draft, source: number, destination: number, size: number, span: number): void {
  const { random, opcode } = draft
  const compares = (opcode | 1) === 0xa7
  const scans = (opcode | 1) === 0xaf
  if ((!compares && !scans) || random.oneIn(4)) return
  for (let at = 0; at < span; at += size) {
    if (random.oneIn(4)) continue
    const sign = (draft.eflags & DF) === 0 ? 1 : -1
    const value = scans ? (draft.gpr[EAX] as number) : draft.load(source + sign * at, size)
    draft.store(destination + sign * at, size, value)
  }
}

/** A stack pointer with `below` bytes of memory under it and `above` bytes over it; rarely too near the end of the page. */
function useStack(draft: Draft, below: number, above: number): void {
  const { random } = draft
  const unaligned = random.oneIn(8) ? random.between(1, 3) : 0
  let top =
    MEMORY +
    Math.min(MEMORY_SIZE - above, random.between(Math.ceil(below / 4), (MEMORY_SIZE - above) >> 2) * 4 + unaligned)
  if (above > 0 && random.oneIn(16)) top = END - random.between(0, above)
  draft.setRegister(ESP, top)
}

/** EFLAGS for POPF: anything but TF, which would end every case, and AC, which stops the oracle's own handler. */
const POPPED_FLAGS = 0x3b7eff
/** For IRET not RF either (the INT3 behind would use it up) nor VM, which a 64-bit kernel below refuses. */
const RETURNED_FLAGS = 0x387eff
const NT_AND_ID = 0x204000

/** A selector to load: the ones there are, null ones, one of a higher privilege, and some beyond the table. */
function dataSelector(draft: Draft): number {
  const { ss, based, cs } = draft.selectors
  return draft.random.pick([ss, ss, based, based, cs, 0, 0, 1, 3, ss & ~3, based & ~3, 0xfff8, 0xffff, 0xfffb, 0x7ffb])
}

function codeSelector(draft: Draft): number {
  const { cs, ss, based } = draft.selectors
  return draft.random.pick([cs, cs, cs, cs, cs, cs & ~3, ss, based, 0, 3, 0xfffb, 0x7ffb])
}

/** Stores offset (operand-sized) and selector: what far pointers and stack frames are made of. */
function storeFarPointer(draft: Draft, address: number, selector: number, stride: number): void {
  const size = draft.operandSize / 8
  draft.store(address, size, draft.codeAddress())
  draft.store(address + stride, 2, selector)
}

function tuneStackAndControl(draft: Draft, digit: number): void {
  const { opcode, random } = draft
  const size = draft.operandSize / 8
  switch (opcode) {
    case 0x60: // pusha
      useStack(draft, 8 * size, 0)
      break
    case 0x61: // popa
      useStack(draft, 0, 8 * size)
      break
    case 0x07: // pop sreg
    case 0x17:
    case 0x1f:
    case 0x0fa1:
    case 0x0fa9:
      useStack(draft, 0, size)
      draft.store(draft.gpr[ESP] as number, 2, dataSelector(draft))
      break
    case 0x8e:
      if (draft.mod === 3)
        draft.setRegister(draft.rm, ((draft.gpr[draft.rm] as number) & 0xffff0000) | dataSelector(draft))
      else draft.store(draft.address, 2, dataSelector(draft))
      break
    case 0xc4: // les and family
    case 0xc5:
    case 0x0fb2:
    case 0x0fb4:
    case 0x0fb5:
      if (draft.mod !== 3) draft.store(draft.address + size, 2, dataSelector(draft))
      break
    case 0x0f00:
    case 0x0f02:
    case 0x0f03: {
      const selector = random.pick([dataSelector(draft), codeSelector(draft)])
      if (draft.mod === 3) draft.setRegister(draft.rm, ((draft.gpr[draft.rm] as number) & 0xffff0000) | selector)
      else draft.store(draft.address, 2, selector)
      break
    }
    case 0x9c:
      draft.eflags |= random.bits() & NT_AND_ID
      break
    case 0x9d:
      draft.eflags |= random.bits() & NT_AND_ID
      useStack(draft, 0, size)
      draft.store(draft.gpr[ESP] as number, size, random.bits() & POPPED_FLAGS)
      break
    case 0xc2:
    case 0xc3:
      useStack(draft, 0, size)
      draft.store(draft.gpr[ESP] as number, size, draft.codeAddress())
      break
    case 0xca:
    case 0xcb: // retf
      useStack(draft, 0, 2 * size)
      storeFarPointer(draft, draft.gpr[ESP] as number, codeSelector(draft), size)
      break
    case 0xcf: {
      useStack(draft, 0, 3 * size)
      storeFarPointer(draft, draft.gpr[ESP] as number, codeSelector(draft), size)
      draft.store((draft.gpr[ESP] as number) + 2 * size, size, random.bits() & RETURNED_FLAGS)
      break
    }
    case 0x9a:
    case 0xea:
      draft.immediate = []
      draft.setImmediate(draft.codeAddress(), size)
      draft.setImmediate(codeSelector(draft), 2)
      useStack(draft, 8, 0)
      break
    case 0xc8:
      tuneEnter(draft)
      break
    case 0xc9:
      draft.gpr[EBP] = MEMORY + random.between(0, MEMORY_SIZE - 4)
      break
    case 0xe8:
    case 0xe9:
    case 0xeb:
      tuneRelative(draft)
      break
    case 0xff:
      tuneIndirect(draft, digit, size)
      break
    default:
      if ((opcode >= 0x70 && opcode <= 0x7f) || (opcode >= 0x0f80 && opcode <= 0x0f8f)) tuneRelative(draft)
      else if (!hasModrm(opcode) && (opcode & 0xf8) === 0x58 && opcode < 0x100) useStack(draft, 0, size)
      else if (opcode === 0x8f) useStack(draft, 0, size)
  }
}

/** Targets stay in the code page, off the instruction. With 16-bit operands EIP is cut to 16 bits, which is not mapped. */
function tuneRelative(draft: Draft): void {
  const { random } = draft
  if (draft.immediate.length === 1)
    draft.immediate = [random.pick([random.between(0x10, 0x7f), random.between(0x80, 0xd0)])]
  else {
    const size = draft.immediate.length
    draft.immediate = []
    draft.setImmediate(random.pick([random.between(0x40, 0x700), -random.between(0x40, 0x700)]), size)
  }
}

/** FF /2 to /5: the operand is where to go. */
function tuneIndirect(draft: Draft, digit: number, size: number): void {
  if (digit < 2 || digit > 5) return
  if (draft.mod !== 3) {
    if (digit === 3 || digit === 5) storeFarPointer(draft, draft.address, codeSelector(draft), size)
    else draft.store(draft.address, size, draft.codeAddress())
    return
  }
  // A call through esp would push into the code page.
  if (draft.rm === ESP && digit < 4) draft.rm = EAX
  draft.setRegister(draft.rm, draft.codeAddress())
}

/** ENTER: frames of 0 to 5 levels whose old frame pointers are in the memory too. */
function tuneEnter(draft: Draft): void {
  const { random } = draft
  const level = random.pick([0, 0, 1, 2, 3, 5, 32, 33])
  draft.immediate = []
  draft.setImmediate(random.pick([0, 1, 4, 8, 16]), 2)
  draft.setImmediate(level, 1)
  draft.gpr[ESP] = MEMORY + random.between(11, 16) * 4
  draft.gpr[EBP] = MEMORY + random.between(11, 16) * 4
}
