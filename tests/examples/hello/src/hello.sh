#!/bin/sh
# Greets, and shows where it runs.
set -eu
. /app/lib/box.sh
box "$GREETING, $NAME!" \
	"I am process $$ in $(pwd), user $(id -u)." \
	"$(($(cat lib/count))) words: $(tr '\n' ' ' <lib/words.sorted)"
