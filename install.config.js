// ava's configuration of `npm run test:install`, whose tests need the registry that scripts/test-install.js starts.
export default {
  files: ['dist/__test__/install/*.test.js'],
  workerThreads: false,
  concurrency: 1,
  timeout: '10m',
  serial: true,
}
