// A stanza of logrotate(8) for the daemon's logs.
import { DaemonError } from '../library.js'
import type { Service } from './service.js'

/** Makes the stanza. @throws DaemonError the daemon has no log file */
export function logrotateStanza({ name, logs }: Service): string {
  if (logs.length === 0) throw new DaemonError(`${name}: it has no log file to rotate`, 'ERR_DAEMON_STATE')
  const files = logs.map(log => `"${log}"`).join(' ')
  return `${files} {
\tdaily
\trotate 7
\tcompress
\tdelaycompress
\tmissingok
\tnotifempty
\tsharedscripts
\tpostrotate
\t\tdaemonic reopen ${name} || true
\tendscript
}
`
}
