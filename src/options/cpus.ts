// How many processors this process may use: its affinity, and the quota of its control groups.
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

/** Counts them; at least 1. */
export function usableCpus(): number {
  return Math.max(1, Math.floor(Math.min(availableParallelism(), quota())))
}

/** The quota in processors, the least of this process's control group and those above it: cpu.max of v2, cpu.cfs_quota_us of v1. */
function quota(): number {
  const quotas: number[] = []
  for (const line of read('/proc/self/cgroup').split('\n')) {
    const [, controllers, group = ''] = line.match(/^\d+:([^:]*):(.*)$/) ?? []
    if (controllers === undefined) continue
    const isFirst = controllers.split(',').includes('cpu')
    if (controllers !== '' && !isFirst) continue
    const root = isFirst ? `/sys/fs/cgroup/${controllers}` : '/sys/fs/cgroup'
    for (const path of withParents(group)) quotas.push(isFirst ? quotaV1(join(root, path)) : quotaV2(join(root, path)))
  }
  return Math.min(...quotas.filter(each => each > 0), Infinity)
}

/**
 * A group and those above it: `/a/b`, `/a`, `/`. In a container the path may be the host's: then only the last exists, and is
 * the container's own.
 */
function withParents(group: string): string[] {
  const parts = group.split('/').filter(Boolean)
  return [...parts.keys(), parts.length].map(length => `/${parts.slice(0, length).join('/')}`).toReversed()
}

function quotaV2(directory: string): number {
  const [most, period] = read(join(directory, 'cpu.max')).split(' ').map(Number)
  return (most || 0) / (period || 1)
}

function quotaV1(directory: string): number {
  const [most, period] = ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map(file => Number(read(join(directory, file))))
  return Math.max(0, (most || 0) / (period || 1))
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
