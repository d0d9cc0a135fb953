// The work itself: what a real tool would load parsers and a configuration for.

/** Tabs become two spaces, spaces at the ends of lines go, and there is one newline at the end. */
export function format(text: string): string {
  const lines = text.split('\n').map(line => line.replace(/^\t+/, tabs => '  '.repeat(tabs.length)).trimEnd())
  return `${lines.join('\n').trimEnd()}\n`
}
