// A Deployment of Kubernetes, which runs the same program on many machines. JSON is YAML, and needs no library.
import type { Service } from './service.js'

/** Seconds for which a pod goes on serving after it was taken out of the services: their endpoints follow late. */
const PRE_STOP = 5
/** Seconds beyond that and stopTimeout until the kubelet kills. */
const KILLING = 5
/** Where the pid file lies, which the probes look at. */
const RUN = '/run/daemonic'

/** Makes the Deployment. The command is that of the image: `daemonic` and the program have to be in its PATH and place. */
export function kubernetesDeployment(service: Service, image: string): string {
  const { name, command, run, directory, environment, stopTimeout, sockets } = service
  const label = name.toLowerCase().replaceAll(/[^a-z0-9-]/g, '-')
  const pidFile = `${RUN}/${label}.pid`
  const probe = (what: string) => ({
    exec: { command: ['daemonic', 'status', '--probe', what, pidFile] },
    periodSeconds: 10,
    timeoutSeconds: 5,
  })
  const { PATH: _, ...variables } = environment
  const ports = sockets.flatMap(({ address, udp }) => {
    const [, port] = /(\d+)$/.exec(address) ?? []
    return port === undefined || address.startsWith('/')
      ? []
      : [{ containerPort: Number(port), protocol: udp ? 'UDP' : 'TCP' }]
  })
  const container = {
    name: label,
    image,
    command: run === null ? command : ['daemonic', 'run', `--pid-file=${pidFile}`, ...run.slice(1)],
    workingDir: directory,
    env: Object.entries({ DAEMONIC_RUNTIME_DIR: RUN, ...variables }).map(([key, value]) => ({ name: key, value })),
    ports,
    startupProbe: { ...probe('ready'), periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: probe('ready'),
    livenessProbe: probe('live'),
    lifecycle: { preStop: { exec: { command: ['sleep', String(PRE_STOP)] } } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [{ name: 'run', mountPath: RUN }],
  }
  const pod = {
    terminationGracePeriodSeconds: PRE_STOP + Math.ceil(stopTimeout / 1000) + KILLING,
    containers: [container],
    volumes: [{ name: 'run', emptyDir: {} }],
  }
  const labels = { app: label }
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: label, labels },
    spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod } },
  }
  return `${JSON.stringify(deployment, null, 2)}\n`
}
