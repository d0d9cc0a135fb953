# Goes on for ever; once the file $1 is there, it crashes as soon as it is started, and adds a byte to it each time.
if [ -e "$1" ]; then
  printf . >>"$1"
  kill -SEGV $$
fi
exec sleep 1000000
