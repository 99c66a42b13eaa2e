package hostile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
)

// parts are the documents of an image, to be changed before they are written.
type parts struct {
	blobs    map[string][]byte // by digest
	config   map[string]any
	manifest map[string]any
	index    map[string]any
	layers   [][]byte
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("hostile: " + err.Error()) // maps and strings
	}
	return raw
}

const mediaPrefix = "application/vnd.oci.image."

func descriptor(kind string, b []byte) map[string]any {
	return map[string]any{"mediaType": mediaPrefix + kind, "digest": digest(b), "size": len(b)}
}

// archiveOf is an OCI archive of layers. change, if not nil, is called when the
// document of that name is about to be written.
func archiveOf(layers [][]byte, change func(document string, p *parts)) []byte {
	p := &parts{blobs: map[string][]byte{}, layers: layers}
	if change == nil {
		change = func(string, *parts) {}
	}
	var diffIDs []string
	var descs []any
	for _, l := range layers {
		kind, diffID := describe(l)
		diffIDs = append(diffIDs, diffID)
		p.blobs[digest(l)] = l
		descs = append(descs, descriptor(kind, l))
	}
	p.config = map[string]any{"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}}
	change("config", p)
	config := encode(p.config)
	p.blobs[digest(config)] = config
	p.manifest = map[string]any{"schemaVersion": 2, "mediaType": mediaPrefix + "manifest.v1+json", "config": descriptor("config.v1+json", config), "layers": descs}
	change("manifest", p)
	manifest := encode(p.manifest)
	p.blobs[digest(manifest)] = manifest
	entry := descriptor("manifest.v1+json", manifest)
	entry["annotations"] = map[string]string{"org.opencontainers.image.ref.name": "latest"}
	p.index = map[string]any{"schemaVersion": 2, "mediaType": mediaPrefix + "index.v1+json", "manifests": []any{entry}}
	change("index", p)
	items := []item{file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`), file("index.json", string(encode(p.index))), dir("blobs"), dir("blobs/sha256")}
	for d, b := range p.blobs {
		items = append(items, file("blobs/sha256/"+strings.TrimPrefix(d, "sha256:"), string(b)))
	}
	return tarOf(items...)
}

// plain is a layer that does no harm.
func plain() []byte { return tarOf(dir("etc"), file("etc/motd", "hello\n")) }

// Images are the attacks by images: every one must be refused.
func Images() []Fixture {
	var list []Fixture
	add := func(row int, name, document string, change func(p *parts)) {
		list = append(list, Fixture{Row: row, Name: "image/" + name, kind: ofImage, refuse: true, images: func(places) [][]byte {
			return [][]byte{archiveOf([][]byte{plain()}, func(d string, p *parts) {
				if d == document {
					change(p)
				}
			})}
		}})
	}
	layer := func(p *parts) map[string]any { return p.manifest["layers"].([]any)[0].(map[string]any) }
	entry := func(p *parts) map[string]any { return p.index["manifests"].([]any)[0].(map[string]any) }
	rootfs := func(p *parts) map[string]any { return p.config["rootfs"].(map[string]any) }
	for name, d := range map[string]string{
		"path":      "sha256:../../../outside/canary",
		"short":     "sha256:abcd",
		"algorithm": "md5:d41d8cd98f00b204e9800998ecf8427e",
		"none":      "",
	} {
		add(15, "layer-digest-"+name, "manifest", func(p *parts) { layer(p)["digest"] = d })
		add(15, "manifest-digest-"+name, "index", func(p *parts) { entry(p)["digest"] = d })
	}
	add(15, "layer-digest-upper-case", "manifest", func(p *parts) { layer(p)["digest"] = "sha256:" + strings.ToUpper(digest(p.layers[0])[7:]) })
	add(15, "layer-of-another-content", "index", func(p *parts) { p.blobs[digest(p.layers[0])] = tarOf(file("f", evil)) })
	add(15, "config-of-another-content", "index", func(p *parts) {
		p.blobs[digest(encode(p.config))] = encode(map[string]any{"os": "linux", "rootfs": p.config["rootfs"]})
	})
	add(16, "layer-size-more", "manifest", func(p *parts) { layer(p)["size"] = len(p.layers[0]) + 1 })
	add(16, "layer-size-less", "manifest", func(p *parts) { layer(p)["size"] = len(p.layers[0]) - 1 })
	add(16, "layer-size-negative", "manifest", func(p *parts) { layer(p)["size"] = -1 })
	add(16, "layer-cut", "index", func(p *parts) { p.blobs[digest(p.layers[0])] = p.layers[0][:700] })
	add(16, "layer-missing", "index", func(p *parts) { delete(p.blobs, digest(p.layers[0])) })
	add(16, "diff-id", "config", func(p *parts) { rootfs(p)["diff_ids"] = []string{digest([]byte("x"))} })
	add(16, "diff-ids-more", "config", func(p *parts) { rootfs(p)["diff_ids"] = []string{digest(p.layers[0]), digest(p.layers[0])} })
	add(16, "diff-ids-none", "config", func(p *parts) { rootfs(p)["diff_ids"] = []string{} })
	add(16, "history-of-more-layers", "config", func(p *parts) {
		p.config["history"] = []any{map[string]any{"created_by": "a"}, map[string]any{"created_by": "b"}}
	})
	add(17, "manifest-and-index", "manifest", func(p *parts) { p.manifest["manifests"] = []any{} })
	add(17, "announced-as-index", "index", func(p *parts) { entry(p)["mediaType"] = mediaPrefix + "index.v1+json" })
	add(17, "index-in-itself-deep", "index", func(p *parts) {
		for range 40 {
			raw := encode(p.index)
			p.blobs[digest(raw)] = raw
			p.index = map[string]any{"schemaVersion": 2, "mediaType": mediaPrefix + "index.v1+json", "manifests": []any{descriptor("index.v1+json", raw)}}
		}
	})
	for i, name := range []string{"../../outside:x", "--help:x", "a\x1b[31m:x", "a b:x", "A:x", "a:x/../y"} {
		add(19, fmt.Sprintf("name-%d", i+1), "index", func(p *parts) {
			entry(p)["annotations"] = map[string]string{"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
		})
	}
	return list
}
