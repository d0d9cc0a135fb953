// The programs that `npm run programs` tries: how each is had, started and asked, and what is expected of it. One row a program.
import type { Fetched } from './fetch.js'

/** How a client talks to the program. */
export type Protocol = 'http' | 'h2' | 'ws' | 'redis'

/** How the program is started. */
export const WAYS = ['start', 'run', 'launch', 'workers'] as const
export type Way = (typeof WAYS)[number]

/** What is done to it under load. */
export const DEEDS = ['reload', 'crash', 'stop'] as const
export type Deed = (typeof DEEDS)[number]

/** A change to the program that a start has to refuse at the prompt. */
export interface Mistake {
  /** What is wrong, as the table has it. */
  what: string
  /** Put before the text of the program's file. */
  text?: string
  /** Variables of the start. */
  env?: Readonly<Record<string, string>>
  /** What the start says. */
  says: RegExp
}

export interface Program {
  name: string
  /** What is fetched: packages with their versions. @default nothing but Node */
  npm?: Readonly<Record<string, string>>
  apt?: Readonly<{ program: string; libraries?: readonly string[] }>
  pip?: Readonly<{ program: string; requirement: string }>
  /** Files that docs/frameworks.md doesn't have, by name. PORT stands for the port. */
  files?: Readonly<Record<string, string>>
  /** Shell commands in its directory, run once after it was fetched. */
  prepare?: readonly string[]
  /** The script and its arguments, or, where it is `foreign`, the command line. */
  run: (fetched: Fetched, port: number) => readonly string[]
  /** Whether it is no script for this Node. */
  foreign?: boolean
  /** Flags of Node's. */
  flags?: readonly string[]
  /** Whether it binds its port itself: then no socket is handed to it. */
  ownPort?: boolean
  asks?: Protocol
  /** Those ways that make sense for it. @default all */
  ways?: readonly Way[]
  /** What is expected where it isn't the default: 0 requests fail at reload and stop, and it is back after a crash. */
  expected?: Partial<Record<Deed | `${Way} ${Deed}` | Way, RegExp>>
  /** What it says in its log when it is stopped. */
  lastWords?: RegExp
  mistakes?: readonly Mistake[]
  /** Whether CI runs it, too. */
  short?: boolean
  /** Whether it must not be left out on Debian as root. */
  required?: boolean
}

const MISSING: Mistake = {
  what: 'missing module',
  text: "await import('./nowhere.mjs')\n",
  says: /ERR_MODULE_NOT_FOUND|Cannot find module/,
}
const WRONG_PORT: Mistake = {
  what: 'wrong port',
  env: { PORT: '0' },
  says: /nobody serves `http` yet; the program listens on port/,
}
const MISTAKES = [MISSING, WRONG_PORT]

const TLS_KEY =
  'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 30 -keyout key.pem -out cert.pem'

const NGINX = `daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server { listen 127.0.0.1:PORT; location / { return 200 "hello\\n"; } }
}
`

/** What binds its port itself can't be rolled over; and how it ends when it is told to is its own business. */
const OWN_PORT: Program['expected'] = { reload: /^refused, 0 of \d+: it listens on .* itself/, stop: /^\d+ of/ }

export const PROGRAMS: readonly Program[] = [
  {
    name: 'Express',
    npm: { express: '5.3.0' },
    run: () => ['express.mjs'],
    mistakes: MISTAKES,
    short: true,
    required: true,
  },
  {
    name: 'Fastify',
    npm: { fastify: '5.12.8' },
    run: () => ['fastify.mjs'],
    lastWords: /^closed$/m,
    mistakes: MISTAKES,
    short: true,
    required: true,
  },
  { name: 'Koa', npm: { koa: '3.3.0' }, run: () => ['koa.mjs'] },
  { name: 'Hono', npm: { hono: '4.13.19', '@hono/node-server': '2.1.8' }, run: () => ['hono.mjs'] },
  {
    name: 'Nest',
    npm: {
      '@nestjs/common': '12.5.1',
      '@nestjs/core': '12.5.1',
      '@nestjs/platform-express': '12.5.1',
      'reflect-metadata': '0.2.2',
      rxjs: '7.8.2',
      tsx: '4.23.15',
    },
    files: { 'tsconfig.json': '{ "compilerOptions": { "experimentalDecorators": true } }\n' },
    run: () => ['nest.mts'],
    flags: ['--import', 'tsx'],
    lastWords: /^disconnected$/m,
  },
  {
    name: 'Next',
    npm: { next: '16.4.6', react: '19.3.1', 'react-dom': '19.3.1' },
    prepare: ['NEXT_TELEMETRY_DISABLED=1 node_modules/.bin/next build'],
    run: (_, port) => ['node_modules/next/dist/bin/next', 'start', '-p', String(port)],
    required: true,
  },
  {
    name: 'ws',
    npm: { ws: '8.23.0' },
    run: () => ['ws.mjs'],
    asks: 'ws',
    mistakes: [MISSING],
    short: true,
    required: true,
  },
  {
    name: 'Socket.IO',
    npm: { 'socket.io': '4.8.4' },
    run: () => ['socket-io.mjs'],
  },
  { name: 'HTTP/2', prepare: [TLS_KEY], run: () => ['http2.mjs'], asks: 'h2' },
  { name: 'tsx', npm: { tsx: '4.23.15' }, run: () => ['server.ts'], flags: ['--import', 'tsx'] },
  {
    name: 'esbuild',
    npm: { 'esbuild-wasm': '0.28.2' },
    prepare: [
      'node node_modules/esbuild-wasm/bin/esbuild app.mjs --bundle --platform=node --format=esm --external:daemonic --outfile=bundle.mjs',
    ],
    run: () => ['bundle.mjs'],
  },
  {
    name: 'cluster',
    run: () => ['cluster.mjs'],
    // Kept-alive clients never pause here: Node's own close() in the workers leaves their connections open to the end. And the
    // primary drops what it has accepted and not yet passed on.
    expected: { reload: /^[0-4] of/, stop: /^[0-4] of/ },
    short: true,
    required: true,
  },
  {
    name: 'npm start',
    files: { 'package.json': '{ "private": true, "scripts": { "start": "node plain.mjs" } }\n' },
    run: () => ['npm', 'start'],
    foreign: true,
    ownPort: true,
    expected: OWN_PORT,
    short: true,
    required: true,
  },
  {
    name: 'nginx',
    apt: { program: 'nginx' },
    files: { 'nginx.conf': NGINX },
    run: ({ command, directory }, port) => [
      ...[
        'sh',
        '-c',
        `sed s/PORT/${port}/ nginx.conf >nginx.${port}.conf && exec "$@" -p ${directory} -c nginx.${port}.conf`,
      ],
      ...['sh', ...command],
    ],
    foreign: true,
    ownPort: true,
    expected: OWN_PORT,
    required: true,
  },
  {
    name: 'redis',
    apt: {
      program: 'redis-server',
      libraries: ['redis-tools', 'libjemalloc2', 'liblua5.1-0', 'liblzf1', 'lua-bitop', 'lua-cjson', 'libatomic1'],
    },
    run: ({ command }, port) => [...command, '--port', String(port), '--save', ''],
    foreign: true,
    ownPort: true,
    expected: { ...OWN_PORT, workers: /^refused: Failed listening/ },
    asks: 'redis',
    required: true,
  },
  {
    name: 'gunicorn',
    pip: { program: 'gunicorn', requirement: 'gunicorn==23.0.0' },
    run: ({ command }, port) => [...command, '--bind', `127.0.0.1:${port}`, '--workers', '2', 'hello:app'],
    foreign: true,
    ownPort: true,
    expected: OWN_PORT,
    required: true,
  },
]
