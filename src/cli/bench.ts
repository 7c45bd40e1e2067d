/** `kennel bench [NAME...] [--json FILE] [--rounds N]`: measurements, as a table and for scripts. */
import { parseArgs } from 'node:util'
import { benchApp } from '../../bench/app.ts'
import { benchInterp, INTERP_LIMIT } from '../../bench/interp.ts'
import { benchSwitch, DEFAULT_ROUNDS } from '../../bench/switch.ts'
import { packageRoot } from '../engine/builtin.ts'
import { whatIsWrong } from './arguments.ts'
import { EXIT_FAULT, EXIT_USAGE, say, UsageError } from './messages.ts'
import { ReportFile } from './report-file.ts'

const MAX_ROUNDS = 100

const print = (text: string): void => void process.stdout.write(`${text}\n`)
const column = (text: string | number, width: number): string => String(text).padStart(width)

/** Each prints its table and gives what goes into the JSON file. */
const BENCHES: Readonly<Record<string, (rounds: number) => readonly object[] | Promise<readonly object[]>>> = {
  interp() {
    print('interpreter, million instructions a second')
    const results = benchInterp(({ name, mips }) => print(`  ${name.padEnd(12)}${column(mips.toFixed(1), 8)}`))
    print(INTERP_LIMIT)
    return results
  },
  switch(rounds) {
    const width = 46
    print(`${'nanoseconds'.padEnd(width)}${column('elide', 10)}${column('always', 10)}${column('ratio', 8)}`)
    const { results, bytes, perSecond } = benchSwitch(packageRoot(), rounds, ({ name, elide, always, ratio }) =>
      print(`${name.padEnd(width)}${column(elide, 10)}${column(always, 10)}${column(ratio.toFixed(2), 8)}`),
    )
    for (const mode of ['elide', 'always'] as const) {
      const rate = Math.round(perSecond[mode]).toLocaleString('en')
      print(`${mode}: ${rate} world switches a second, ${bytes[mode].toFixed(0)} bytes copied in each`)
    }
    print('The seed’s author measured 7,800 ns eliding and 9,000 ns copying for a process context switch: 1.15.')
    return results
  },
  app() {
    print('the application')
    return benchApp(packageRoot(), ({ name, value, unit }) =>
      print(`  ${name.padEnd(30)}${column(value.toLocaleString('en'), 10)} ${unit}`),
    )
  },
}

export async function benchCommand(args: readonly string[]): Promise<number> {
  let json: string | undefined
  let names: string[]
  let rounds = DEFAULT_ROUNDS
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { json: { type: 'string' }, rounds: { type: 'string' } },
      allowPositionals: true,
    })
    json = values.json
    if (values.rounds !== undefined) rounds = /^\d+$/.test(values.rounds) ? Number(values.rounds) : NaN
    names = positionals.length === 0 ? Object.keys(BENCHES) : positionals
  } catch (error) {
    say(whatIsWrong(error))
    return EXIT_USAGE
  }
  if (!(rounds >= 1 && rounds <= MAX_ROUNDS)) {
    say(`--rounds is a number from 1 to ${MAX_ROUNDS}.`)
    return EXIT_USAGE
  }
  const unknown = names.find((name) => !Object.hasOwn(BENCHES, name))
  if (unknown !== undefined) {
    say(`There is no benchmark “${unknown}”. There are: ${Object.keys(BENCHES).join(', ')}.`)
    return EXIT_USAGE
  }
  let file: ReportFile | undefined
  try {
    file = json === undefined ? undefined : new ReportFile('results', json)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    say(error.message)
    return EXIT_USAGE
  }
  const results: object[] = []
  for (const name of names) results.push(...(await BENCHES[name](rounds)))
  return file?.write(results) === false ? EXIT_FAULT : 0
}
