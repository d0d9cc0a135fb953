// docs/testing.md: its example is a test that passes, and one that fails where the server is wrong.
import { readFileSync } from 'node:fs'
import test from 'ava'
import { LIBRARY } from './support/program.js'
import { Scene } from './support/scene.js'

const page = readFileSync(new URL('../../docs/testing.md', import.meta.url), 'utf8')

for (const [what, says, code] of [
  ['passes', 'hello', 0],
  ['fails', 'goodbye', 1],
] as const) {
  test(`the test of docs/testing.md ${what} where the server says ${says}`, async t => {
    const scene = new Scene(t)
    for (const [, name = '', text = ''] of page.matchAll(/^```ts\n\/\/ (\S+)\n(.*?)^```$/gms)) {
      scene.write(name, text.replace("'daemonic'", `'${LIBRARY}'`).replace("end('hello')", `end('${says}')`))
    }
    const run = await scene.run(process.execPath, ['--test', 'server.test.mjs'], { detach: 'auto' })
    t.is(run.code, code, run.stdout + run.stderr)
    t.is(run.stdout.match(/saved/g)?.length, 1)
  })
}
