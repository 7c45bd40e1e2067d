/**
 * Elementary functions on big integers read as fixed-point numbers: value = n * 2^-scale. Wide enough (160 bits and more
 * behind the first significant one) that the 64-bit significand the x87 wants is right in all but the rarest last place.
 * Plain series after a reduction of the argument; no floating point, so every machine gets the same bits. Pure functions;
 * what the arguments mean for the x87 (special values, quadrants, C2) is transcendental.ts.
 */

/** Number of bits of n > 0. */
export function bitLength(n: bigint): number {
  const text = n.toString(16)
  return (text.length - 1) * 4 + (32 - Math.clz32(parseInt(text[0], 16)))
}

/** n * 2^shift, towards minus infinity. */
export function shift(n: bigint, by: number): bigint {
  return by >= 0 ? n << BigInt(by) : n >> BigInt(-by)
}

const CONSTANT_SCALE = 400

/** sum of (+-1)^k t^(2k+1) / (2k+1): atan for sign = -1, atanh for sign = 1. |t| well below 1. */
function oddSeries(t: bigint, scale: number, sign: 1 | -1): bigint {
  const bits = BigInt(scale)
  const square = (t * t) >> bits
  let power = t
  let sum = t
  for (let k = 3n; power !== 0n && power !== -1n; k += 2n) {
    power = (power * square) >> bits
    if (sign < 0) power = -power
    sum += power / k
  }
  return sum
}

let piConstant = 0n
let ln2Constant = 0n

/** pi, truncated to `scale` fraction bits (at most 400). */
export function pi(scale: number): bigint {
  if (piConstant === 0n) {
    // Machin: pi/4 = 4 atan(1/5) - atan(1/239), with 20 bits to spare.
    const s = CONSTANT_SCALE + 20
    const one = 1n << BigInt(s)
    piConstant = (16n * oddSeries(one / 5n, s, -1) - 4n * oddSeries(one / 239n, s, -1)) >> 20n
  }
  return piConstant >> BigInt(CONSTANT_SCALE - scale)
}

/** ln 2, truncated to `scale` fraction bits (at most 400). */
export function ln2(scale: number): bigint {
  if (ln2Constant === 0n) {
    const s = CONSTANT_SCALE + 20
    ln2Constant = (2n * oddSeries((1n << BigInt(s)) / 3n, s, 1)) >> 20n
  }
  return ln2Constant >> BigInt(CONSTANT_SCALE - scale)
}

/** sin r, |r| <= 1. */
export function sinFixed(r: bigint, scale: number): bigint {
  const bits = BigInt(scale)
  const square = (r * r) >> bits
  let term = r
  let sum = r
  for (let k = 2n; term !== 0n && term !== -1n; k += 2n) {
    term = -((term * square) >> bits) / (k * (k + 1n))
    sum += term
  }
  return sum
}

/** cos r, |r| <= 1. */
export function cosFixed(r: bigint, scale: number): bigint {
  const bits = BigInt(scale)
  const square = (r * r) >> bits
  let term = 1n << bits
  let sum = term
  for (let k = 1n; term !== 0n && term !== -1n; k += 2n) {
    term = -((term * square) >> bits) / (k * (k + 1n))
    sum += term
  }
  return sum
}

/** e^t - 1, |t| <= 1. */
export function expm1Fixed(t: bigint, scale: number): bigint {
  const bits = BigInt(scale)
  let term = t
  let sum = t
  for (let k = 2n; term !== 0n && term !== -1n; k++) {
    term = ((term * t) >> bits) / k
    sum += term
  }
  return sum
}

/** ln((1 + z) / (1 - z)), |z| <= 0.2: with z = (m - 1) / (m + 1) that is ln m. */
export function logRatioFixed(z: bigint, scale: number): bigint {
  return 2n * oddSeries(z, scale, 1)
}

const atanSteps = new Map<string, bigint>()

/** atan(k/16), built up from the atan of the differences: atan a - atan b = atan((a - b) / (1 + a b)). */
function atanOfSixteenths(k: number, scale: number): bigint {
  if (k === 0) return 0n
  const key = `${k} ${scale}`
  let value = atanSteps.get(key)
  if (value === undefined) {
    const difference = (16n << BigInt(scale)) / BigInt(256 + k * (k - 1))
    value = atanOfSixteenths(k - 1, scale) + oddSeries(difference, scale, -1)
    atanSteps.set(key, value)
  }
  return value
}

/** atan t, 0 <= t <= 1. */
export function atanFixed(t: bigint, scale: number): bigint {
  const bits = BigInt(scale)
  const k = t >> (bits - 4n)
  const c = k << (bits - 4n)
  return (
    atanOfSixteenths(Number(k), scale) + oddSeries(((t - c) << bits) / ((1n << bits) + ((t * c) >> bits)), scale, -1)
  )
}
