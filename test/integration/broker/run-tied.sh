#!/bin/sh
# Usage: run-tied.sh FOLDER COMMAND…  Runs the command, with its process id in FOLDER/pid. When standard input ends,
# whoever started it is gone, however that went: then the command is killed and the folder removed.
folder=$1
shift
exec 3<&0
"$@" </dev/null 3<&- &
pid=$!
echo "$pid" >"$folder/pid"
(
  read -r _ <&3
  touch "$folder/abandoned"
  kill -9 "$pid" 2>/dev/null
) &
watch=$!
wait "$pid"
status=$?
kill "$watch" 2>/dev/null
if [ -e "$folder/abandoned" ]; then rm -rf "$folder"; fi
exit "$status"
