// $WORKERS copies of the plain server by node:cluster; one that ends is replaced.
import cluster from 'node:cluster'

if (cluster.isPrimary) {
  for (let each = 0; each < Number(process.env.WORKERS); each++) cluster.fork()
  cluster.on('exit', () => cluster.fork())
} else {
  await import('./plain.js')
}
