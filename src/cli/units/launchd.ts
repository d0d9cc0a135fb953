// A property list of launchd, macOS's service manager.
import type { Service } from './service.js'

/** Makes the list: launchd.plist(5). It knows no files of variables: what they assign has to be given by --env. */
export function launchdPlist(service: Service): string {
  const { name, command, directory, environment, user, group, stopTimeout, logs } = service
  const [log = `/var/log/${name}.log`] = logs
  const entries = {
    Label: name,
    ProgramArguments: command,
    WorkingDirectory: directory,
    EnvironmentVariables: environment,
    RunAtLoad: true,
    KeepAlive: { SuccessfulExit: false },
    ExitTimeOut: Math.ceil(stopTimeout / 1000) + 5,
    StandardOutPath: log,
    StandardErrorPath: log,
    ...(user !== null && { UserName: user }),
    ...(group !== null && { GroupName: group }),
  }
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
${element(entries, '')}
</plist>
`
}

function element(value: unknown, indent: string): string {
  const inner = `${indent}\t`
  if (typeof value === 'boolean') return `${indent}<${value}/>`
  if (typeof value === 'number') return `${indent}<integer>${value}</integer>`
  if (typeof value === 'string') return `${indent}<string>${escaped(value)}</string>`
  if (Array.isArray(value))
    return `${indent}<array>\n${value.map(each => element(each, inner)).join('\n')}\n${indent}</array>`
  const pairs = Object.entries(value as object).map(
    ([key, each]) => `${inner}<key>${escaped(key)}</key>\n${element(each, inner)}`,
  )
  return `${indent}<dict>\n${pairs.join('\n')}\n${indent}</dict>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
