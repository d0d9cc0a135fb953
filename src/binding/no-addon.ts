// Why there is no native addon here, in a sentence that says what to do about it.
import { DaemonError } from '../errors/classes.js'
import { LEAVE_OUT, packageFile } from './package-files.js'

/** The platforms that have a package: npm/ has one directory for each. */
const PACKAGES = [
  'linux-x64-gnu',
  'linux-arm64-gnu',
  'linux-x64-musl',
  'linux-arm64-musl',
  'linux-arm-gnueabihf',
  'darwin-x64',
  'darwin-arm64',
  'freebsd-x64',
]

/** Gives the error for these failures to load the addon, in the order in which it was tried. */
export function noAddon(failures: readonly unknown[]): DaemonError {
  const cause =
    failures.length > 1
      ? new AggregateError(failures, 'none of the addons for this platform could be loaded')
      : failures[0]
  return new DaemonError(reason(failures), 'ERR_DAEMON_UNSUPPORTED', 1, { cause })
}

function reason(failures: readonly unknown[]): string {
  const { platform, arch } = process
  if (platform === 'win32') return 'Windows has no daemons of this kind: run the program as a service, or in WSL'
  const codes = failures.map(failure => (failure as NodeJS.ErrnoException).code)
  if (codes.includes('ERR_DLOPEN_DISABLED') || codes.includes('ERR_ACCESS_DENIED')) {
    return (
      'daemonic needs its native addon, and Node was told to load none: ' +
      'leave --no-addons out, and with --permission add --allow-addons and --allow-fs-read for node_modules'
    )
  }
  // An addon that is there and doesn't load says more than one that isn't there.
  const broken = failures.find(
    (_, index) => codes[index] !== 'MODULE_NOT_FOUND' && codes[index] !== 'ERR_INVALID_ARG_VALUE',
  )
  if (broken instanceof Error) return `the native addon of daemonic could not be loaded: ${broken.message.trim()}`
  const fitting = PACKAGES.filter(name => name === `${platform}-${arch}` || name.startsWith(`${platform}-${arch}-`))
  if (fitting.length === 0) {
    return `daemonic has no binaries for ${platform}-${arch}: there are some for ${PACKAGES.join(', ')}`
  }
  return notInstalled(fitting.length > 1 ? `${platform}-${arch}-${libc()}` : `${fitting[0]}`)
}

function notInstalled(name: string): string {
  const missing = `daemonic’s binaries for this platform are not installed: there is no package daemonic-${name}`
  const manifest = packageFile('package.json')
  if (manifest === undefined) return `${missing} beside this bundle: ${LEAVE_OUT}`
  const own = process.getBuiltinModule('node:module').createRequire(manifest)
  const others = PACKAGES.filter(each => isInstalled(own, `daemonic-${each}/package.json`))
  const why = others.length > 0 ? `, but one for ${others.join(', ')}: node_modules is from another machine` : ''
  const { version } = own('./package.json')
  return (
    `${missing}${why}. Install again here, optional dependencies included ` +
    `(no --omit=optional, no --no-optional), or by itself: npm install daemonic-${name}@${version}`
  )
}

function isInstalled(own: NodeJS.Require, name: string): boolean {
  try {
    own.resolve(name)
    return true
  } catch {
    return false
  }
}

/** Asks Node which libc it runs on, without the names of its sockets' peers: looking those up can take seconds. */
function libc(): 'gnu' | 'musl' {
  const { report } = process as { report?: NodeJS.ProcessReport & { excludeNetwork?: boolean } }
  if (report === undefined) return 'gnu'
  const { excludeNetwork = false } = report
  report.excludeNetwork = true
  const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  report.excludeNetwork = excludeNetwork
  return header.glibcVersionRuntime === undefined ? 'musl' : 'gnu'
}
