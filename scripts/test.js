// Runs the tests of cargo and ava, and prints `N passed, N failed` as its last line. Arguments go to ava.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { hasCargo, root, setup } from './setup.js'

/** How long stdout may stay open once a runner has exited, in milliseconds: a process that a test left may hold it. */
const DRAIN_MS = 1_000

const total = { passed: 0, failed: 0 }

process.on('exit', code => {
  // An exit code other than 0 without a counted failure, from the set-up for example, counts as one.
  const failed = total.failed || (code === 0 ? 0 : 1)
  console.log(`${total.passed} passed, ${failed} failed`)
})

setup()
if (hasCargo()) await run('cargo', ['test', '--locked', '--workspace', '--quiet', '--no-fail-fast'], countCargo)
else console.log("# cargo's tests are skipped: there is no cargo here")
await run('node_modules/.bin/ava', ['--tap', ...process.argv.slice(2).map(compiled)], countTap)
process.exitCode = total.failed > 0 ? 1 : 0

/** Runs a command, shows its output, adds up what `count` reads from each line. */
async function run(command, args, count) {
  const failedBefore = total.failed
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout }).on('line', line => {
    console.log(line)
    count(line)
  })
  const drained = once(lines, 'close')
  const code = await once(child, 'exit').then(
    ([status]) => status,
    error => error.message,
  )
  await Promise.race([drained, delay(DRAIN_MS, undefined, { ref: false })])
  child.stdout.destroy()
  if (code !== 0 && total.failed === failedBefore) {
    console.error(`${command} ended with ${code ?? child.signalCode}`)
    total.failed += 1
  }
}

function countCargo(line) {
  const [, passed, failed] = line.match(/^test result: .* (\d+) passed; (\d+) failed;/) ?? [0, 0, 0]
  total.passed += Number(passed)
  total.failed += Number(failed)
}

function countTap(line) {
  if (/^(not )?ok .* # (SKIP|TODO)\b/.test(line)) return
  if (line.startsWith('ok ')) total.passed += 1
  if (line.startsWith('not ok ')) total.failed += 1
}

/** Returns the compiled file of a test that was named by its source. */
function compiled(arg) {
  return arg.replace(/^(?:\.\/)?(__test__\/.*)\.ts$/, 'dist/$1.js')
}
