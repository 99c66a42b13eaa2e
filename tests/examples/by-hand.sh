#!/bin/sh
# An image without a Dockerfile, and a process in it: every joint by hand.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/app/etc" && echo 'Hello, by hand.' >"$work/app/etc/motd"
base=$(ds-layer closure --base auto | ds-store add-layer)
app=$(ds-layer create "$work/app" | ds-store add-layer)
ds-store commit --layer "$base" --layer "$app" --cmd '["/bin/cat","/etc/motd"]' --tag by-hand:v1
ds-store bundle by-hand:v1 "$work/run"
ds-exec run --rm "$work/run"
