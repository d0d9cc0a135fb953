// Starting the probe, and reading what it says of itself.
import type { DaemonizeOptions } from 'daemonic'
import type { Report } from '../fixtures/probe.js'
import { fixture, type Result, type RunOptions, type Scene } from './scene.js'

export type { Report }

/** Runs the probe's launcher to its end. */
export function launchProbe(scene: Scene, options: DaemonizeOptions = {}, run: RunOptions = {}): Promise<Result> {
  const env = { PROBE: JSON.stringify(options), REPORT: scene.path('report.json'), ...run.env }
  return scene.node(fixture('probe'), { ...run, env })
}

/** What the probe reported, once it has. */
export async function report(scene: Scene): Promise<Report> {
  await scene.until('the probe has reported', () => scene.exists('report.json'))
  return JSON.parse(scene.read('report.json'))
}

/** Starts the probe and waits for its report. */
export async function probe(scene: Scene, options: DaemonizeOptions = {}, run: RunOptions = {}): Promise<Report> {
  const { code, stderr } = await launchProbe(scene, options, run)
  if (code !== 0) throw new Error(`the launcher ended with ${code}: ${stderr}`)
  return report(scene)
}
