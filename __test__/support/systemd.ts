// A real systemd: pid 1 of namespaces of its own, with the units that a test writes.
import { existsSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { finished, type Program, type Result, Scene, script } from './scene.js'

const SYSTEMD = '/lib/systemd/systemd'
const CHECKOUT = fileURLToPath(new URL('../../..', import.meta.url))

/** Directives of a section, by name; an array stands for several lines. */
export type Section = Record<string, string | number | readonly string[]>

export class Systemd {
  private constructor(
    readonly scene: Scene,
    private readonly init: number,
    /** Ends it with all its services, as a power cut would. */
    readonly end: () => Promise<void>,
  ) {}

  /** Boots one that finds the units of the scene's directory `units`, and ends with the test. */
  static async boot(t: ExecutionContext, scene: Scene): Promise<Systemd> {
    mkdirSync(scene.path('units'), { recursive: true })
    // Without the scene's mark: what it mounts is to be unmounted by its own end.
    const child = scene.spawn('bash', [script('boot-systemd.sh'), scene.directory, CHECKOUT], {
      env: { DAEMONIC_TEST_SCENE: undefined },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const ended = finished(child)
    const end = async () => {
      child.stdin?.end()
      const { code, stderr } = await ended
      if (code !== 0) t.log(stderr)
    }
    t.teardown(end)
    let said = ''
    child.stdout?.on('data', chunk => (said += chunk))
    const init = await scene.until('systemd is up', () => {
      if (child.exitCode !== null) throw new Error('systemd did not come up')
      return said.endsWith('\n') && Number(said)
    })
    return new Systemd(scene, init, end)
  }

  /** Writes a unit, which `systemctl start` then finds. */
  async unit(name: string, sections: Record<string, Section>): Promise<void> {
    const lines = Object.entries(sections).flatMap(([section, directives]) => [
      `[${section}]`,
      ...Object.entries(directives).flatMap(([key, value]) => [value].flat().map(each => `${key}=${each}`)),
    ])
    this.scene.write(`units/${name}`, `${lines.join('\n')}\n`)
    await this.systemctl('daemon-reload')
  }

  /** Writes a service that runs a program by plain node, or a whole command line, and logs to SERVICE.log in the scene. */
  async service(name: string, exec: Program | string, service: Section = {}, more: Record<string, Section> = {}) {
    const command = typeof exec === 'string' ? exec : commandLine(exec)
    const log = `append:${this.scene.path(`${name}.log`)}`
    await this.unit(`${name}.service`, {
      Service: {
        Type: 'notify',
        ExecStart: command,
        Environment: [`SCENE=${this.scene.directory}`, 'PATH=/usr/local/bin:/usr/bin:/bin'],
        WorkingDirectory: this.scene.directory,
        StandardOutput: log,
        StandardError: log,
        ...service,
      },
      ...more,
    })
  }

  /** Runs a command inside. */
  run(command: string, ...args: readonly string[]): Promise<Result> {
    return this.scene.run('nsenter', ['-t', String(this.init), '-m', '-p', '-i', '-u', command, ...args])
  }

  /** @throws Error it fails */
  async systemctl(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run('systemctl', ...args)
    if (code !== 0) throw new Error(`systemctl ${args.join(' ')}: ${code}: ${stderr}`)
    return stdout
  }

  /** A property of a service, as systemd knows it. */
  async property(service: string, name: string): Promise<string> {
    return (await this.systemctl('show', '--value', '-p', name, `${service}.service`)).trim()
  }

  /** Waits until a property of a service is as expected. */
  async shows(service: string, name: string, expected: string | RegExp): Promise<string> {
    return this.scene.until(`${name} of ${service} is ${expected}`, async () => {
      const value = await this.property(service, name)
      return (typeof expected === 'string' ? value === expected : expected.test(value)) && (value || ' ')
    })
  }
}

/** A command line as ExecStart= has it. */
export function commandLine(program: readonly string[]): string {
  return [process.execPath, ...program]
    .map(word => `"${word.replaceAll(/["\\]/g, '\\$&').replaceAll('%', '%%')}"`)
    .join(' ')
}

/** Declares a test in a systemd of its own; where there can be none it is skipped, and says why. */
export function withSystemd(
  title: string,
  body: (t: ExecutionContext, systemd: Systemd, scene: Scene) => Promise<void>,
): void {
  const missing = whatIsMissing()
  test(title, async t => {
    if (missing !== null) {
      t.log(`skipped: ${missing}`)
      t.pass()
      return
    }
    const scene = new Scene(t)
    await body(t, await Systemd.boot(t, scene), scene)
  })
}

function whatIsMissing(): string | null {
  if (process.getuid?.() !== 0) return 'only root can boot a systemd in namespaces'
  return existsSync(SYSTEMD) ? null : `there is no ${SYSTEMD} (Debian’s package systemd)`
}
