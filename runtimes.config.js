// ava's configuration of the conformance tests that `npm run test:runtimes` runs for runtimes other than Node.
export default {
  files: ['dist/__test__/runtimes/*.test.js'],
  workerThreads: false,
  concurrency: 1,
  timeout: '5m',
  serial: true,
}
