// Launches a program with options as JSON, and prints what that resolved with: a tool that calls launch().
import { launch } from 'daemonic'

const [program = '', options = '{}'] = process.argv.slice(2)
console.log(JSON.stringify(await launch(program, JSON.parse(options))))
