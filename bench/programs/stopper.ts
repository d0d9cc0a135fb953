// Stops the daemon of $PID_FILE.
import { stop } from 'daemonic'

await stop(process.env.PID_FILE ?? '')
