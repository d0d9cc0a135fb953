// Part of the release workflow: `node scripts/check-release.js v1.2.3` fails where the tag and the checkout don't agree.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.js'
import { TARGETS } from './targets.js'

const [tag] = process.argv.slice(2)
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const changelog = readFileSync(join(root, 'CHANGELOG.md'), 'utf8')
const { version } = manifest

const wrong = TARGETS.map(({ name }) => [
  name,
  JSON.parse(readFileSync(join(root, 'npm', name, 'package.json'), 'utf8')),
])
  .filter(([, platform]) => platform.version !== version)
  .map(([name, platform]) => `npm/${name} has version ${platform.version}: npm version ${version} sets it`)
if (tag !== `v${version}`) wrong.push(`the tag is ${tag}, the version ${version}`)
if (!changelog.includes(`\n## ${version}`)) wrong.push(`CHANGELOG.md has no section ${version}`)
// Provenance binds a package to the repository that it names; who has the package finds the project by the other two.
for (const field of ['repository', 'homepage', 'bugs']) {
  if (!manifest[field]) wrong.push(`package.json has no \`${field}\`: docs/releasing.md says what they are for`)
}

for (const line of wrong) console.error(`check-release: ${line}`)
process.exitCode = wrong.length > 0 ? 1 : 0
