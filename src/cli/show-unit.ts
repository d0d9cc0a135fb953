// unit: prints what runs a daemon under a service manager, or beside it.
import type { Invocation } from './invocation.js'
import { type Output, write } from './print.js'
import { kubernetesDeployment } from './units/kubernetes.js'
import { launchdPlist } from './units/launchd.js'
import { logrotateStanza } from './units/logrotate.js'
import { openrcScript } from './units/openrc.js'
import { type Service, servicesOf } from './units/service.js'
import { systemdUnits } from './units/systemd.js'
import { UsageError } from './usage.js'

/** What `unit` prints, by the word that asks for it. */
export const UNIT_KINDS = ['systemd', 'openrc', 'launchd', 'kubernetes', 'logrotate'] as const

/** Carries out `unit`. */
export async function showUnit(invocation: Invocation, output: Output): Promise<number> {
  const [kind = '', ...words] = invocation.words
  if (!(UNIT_KINDS as readonly string[]).includes(kind))
    throw new UsageError(`Expected one of ${UNIT_KINDS.join(', ')} before the TARGET`, 'unit')
  if (words.length === 0 && !invocation.options.has('config')) throw new UsageError('Expected a TARGET', 'unit')
  for (const service of await servicesOf({ ...invocation, words })) {
    noteMissing(service, output)
    write(1, textOf(kind, service, invocation))
  }
  return 0
}

/** Says which variables of the running daemon the service won't have: their values may be secrets, and stand in no unit. */
export function noteMissing({ name, missing }: Service, output: Output): void {
  if (missing.length > 0)
    output.note(
      `${name}: the service won't have these variables; --env-file FILE names a file with them: ${missing.join(', ')}`,
    )
}

function textOf(kind: string, service: Service, { options }: Invocation): string {
  switch (kind) {
    case 'systemd':
      return Object.entries(systemdUnits(service, options.has('user')))
        .map(([name, text]) => `# ${name}\n${text}`)
        .join('\n')
    case 'openrc':
      return openrcScript(service)
    case 'launchd':
      return launchdPlist(service)
    case 'kubernetes':
      return kubernetesDeployment(service, options.get<string>('image') ?? `${service.name}:latest`)
    default:
      return logrotateStanza(service)
  }
}
