// A formatter: `node cli.js FILE` prints FILE formatted; `node cli.js --stop` ends the daemon of this directory. The first
// call starts the daemon, later ones find it warm.
import { readFileSync } from 'node:fs'
import { formatBy, stopOf } from './client.js'

const [file] = process.argv.slice(2)
if (file === undefined) {
  console.error('usage: cli.js FILE | --stop')
  process.exitCode = 2
} else if (file === '--stop') {
  await stopOf(process.cwd())
} else {
  const { by, result } = await formatBy(process.cwd(), readFileSync(file, 'utf8'))
  process.stdout.write(result)
  if (process.stderr.isTTY) console.error(by)
}
