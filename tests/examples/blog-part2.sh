#!/bin/sh
# An image made with tar, sha256sum and printf alone, then imported and run.
# Only the root file system needs a program of ours.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
image=$work/image blobs=$work/image/blobs/sha256
mkdir -p "$blobs" "$work/root"

# The layer: a tar. Here a shell with what it needs, and one file.
ds-layer closure --base auto >"$work/layer.tar"
echo 'Hello from an image made by hand.' >"$work/root/hello"
tar -C "$work/root" --owner=0 --group=0 -cf "$work/hello.tar" hello

# A blob is a file under the name of its digest; store prints "DIGEST SIZE".
store() {
	digest=$(sha256sum "$1" | cut -d' ' -f1)
	size=$(($(wc -c <"$1")))
	mv "$1" "$blobs/$digest"
	echo "$digest $size"
}
descriptor() { # MEDIATYPE DIGEST SIZE
	printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%s}' "$1" "$2" "$3"
}

base=$(store "$work/layer.tar")
hello=$(store "$work/hello.tar")
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/usr/bin:/bin"],"Cmd":["cat","/hello"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
	"$arch" "${base% *}" "${hello% *}" >"$work/config"
config=$(store "$work/config")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s,%s]}' \
	"$(descriptor config.v1+json "${config% *}" "${config#* }")" \
	"$(descriptor layer.v1.tar "${base% *}" "${base#* }")" \
	"$(descriptor layer.v1.tar "${hello% *}" "${hello#* }")" >"$work/manifest"
manifest=$(store "$work/manifest")
printf '{"imageLayoutVersion":"1.0.0"}' >"$image/oci-layout"
printf '{"schemaVersion":2,"manifests":[%s]}' \
	"$(descriptor manifest.v1+json "${manifest% *}" "${manifest#* }")" >"$image/index.json"

tar -C "$image" -cf "$work/image.tar" oci-layout index.json blobs
docksmith import "$work/image.tar" blog:part2 >&2
docksmith run blog:part2
