// The server on $PORT, as one writes it without any library. With STOP=graceful it ends as pm2's manual says it should.
import { createWeb } from '../support/web.js'
import { mark } from './mark.js'

const server = createWeb()
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => mark('serving'))
if (process.env.STOP === 'graceful') process.on('SIGINT', () => server.close(() => process.exit(0)))
