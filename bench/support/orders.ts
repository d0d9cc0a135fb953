// The supervisor's control socket: one request, one answer.
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

export interface Answer {
  ok: boolean
  error?: string
  workers: { pid: number; ready: boolean; restarts: number }[]
}

export async function order(pidFile: string, request: 'status' | 'reload'): Promise<Answer> {
  const socket = connect(pidFile.replace(/\.pid$/, '.sock'))
  const lines = createInterface({ input: socket })
  socket.write(`${JSON.stringify({ do: request })}\n`)
  const [line] = await once(lines, 'line')
  socket.destroy()
  const answer: Answer = JSON.parse(line)
  if (!answer.ok) throw new Error(`${request}: ${answer.error}`)
  return answer
}
