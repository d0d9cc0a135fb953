// A certificate that vouches for itself. Node makes keys, but no certificates: openssl(1) does.
import { execFileSync } from 'node:child_process'
import { KeyTrouble } from './key.js'

const DAYS = '30'

/** In PEM, for the private key in the file `keyPath` and the host `name`. Exchange it for one that clients trust. */
export function selfSigned(keyPath: string, name: string): string {
  const subject = ['-subj', '/CN=tls-server', '-addext', `subjectAltName=DNS:${name},DNS:localhost`]
  try {
    const request = ['req', '-x509', '-new', '-key', keyPath, '-days', DAYS, ...subject]
    return execFileSync('openssl', request, { encoding: 'utf8', stdio: 'pipe' })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new KeyTrouble(
      code === 'ENOENT'
        ? 'the openssl command, which makes the certificate, is not installed'
        : `openssl could not make a certificate: ${message}`,
    )
  }
}
