package hostile

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tags are attacks on names that others have given.
func tags() []Fixture {
	named := func(content string, names ...string) []byte {
		return archiveOf([][]byte{tarOf(file("f", content))}, func(document string, p *parts) {
			if document != "index" {
				return
			}
			list := p.index["manifests"].([]any)
			first := list[0].(map[string]any)
			list = nil
			for _, name := range names {
				entry := map[string]any{}
				for key, value := range first {
					entry[key] = value
				}
				entry["annotations"] = map[string]string{"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
				list = append(list, entry)
			}
			p.index["manifests"] = list
		})
	}
	const mine = "docker.io/library/mine:1"
	first := named("mine", mine)
	moved := func(name string, second []byte) Fixture {
		return Fixture{Row: 21, Name: "tag/" + name, kind: ofImage, images: func(places) [][]byte { return [][]byte{first, second} },
			judge: func(p places, t *trial) string {
				if t.status == 0 && !mentions(t.said, first) {
					return "a name that another image had was taken, and nothing told of that"
				}
				return ""
			}}
	}
	return []Fixture{
		moved("of-another", named("other", mine)),
		moved("smuggled", named("other", "docker.io/library/other:1", mine)),
		{Row: 21, Name: "tag/digest", kind: ofImage, refuse: true, images: func(places) [][]byte {
			return [][]byte{named("other", strings.TrimPrefix(digest(first), "sha256:")+":latest")}
		}},
		{Row: 21, Name: "tag/twice", kind: ofImage, refuse: true, images: func(places) [][]byte { return [][]byte{twoOfOneName()} }},
	}
}

// twoOfOneName is an archive with two images under one name.
func twoOfOneName() []byte {
	return archiveOf([][]byte{plain()}, func(document string, p *parts) {
		if document != "index" {
			return
		}
		other := tarOf(file("f", evil))
		config := encode(map[string]any{"architecture": p.config["architecture"], "os": "linux", "config": map[string]any{},
			"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(other)}}})
		manifest := encode(map[string]any{"schemaVersion": 2, "mediaType": mediaPrefix + "manifest.v1+json", "config": descriptor("config.v1+json", config), "layers": []any{descriptor("layer.v1.tar", other)}})
		for _, b := range [][]byte{other, config, manifest} {
			p.blobs[digest(b)] = b
		}
		entry := descriptor("manifest.v1+json", manifest)
		list := append(p.index["manifests"].([]any), entry)
		for _, entry := range list {
			entry.(map[string]any)["annotations"] = map[string]string{"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "docker.io/library/x:1"}
		}
		p.index["manifests"] = list
	})
}

// mentions tells whether a text names an image by a digest of its archive, whole
// or in short.
func mentions(text, archive []byte) bool {
	for b := archive; ; {
		at := bytes.Index(b, []byte("blobs/sha256/"))
		if at < 0 {
			return false
		}
		b = b[at+len("blobs/sha256/"):]
		if name := b[:12]; bytes.Contains(text, name) && name[0] != 0 {
			return true
		}
	}
}

// states are attacks on what programs keep, by others on the same machine.
func states() []Fixture {
	etc := dir("etc")
	etc.mode = 0o755
	load := func(t *trial) error { return t.give("umask 000; "+t.o.Load, archiveOf([][]byte{tarOf(etc)}, nil)) }
	return []Fixture{
		{Row: 23, Name: "state/umask", kind: ofImage, play: func(t *trial) error {
			if err := os.Remove(t.p.root); err != nil {
				return err
			}
			return load(t)
		}, judge: func(p places, t *trial) string { return open(p.root) }},
		{Row: 23, Name: "state/temporary-names", kind: ofImage, play: func(t *trial) error {
			t.env = []string{"TMPDIR=" + t.p.temp}
			names, err := watched(t.p.temp, func() error { return load(t) })
			if err == nil {
				err = t.again()
			}
			if err != nil {
				return err
			}
			for _, name := range names {
				if err := os.Symlink(filepath.Join(t.p.outside, canary), filepath.Join(t.p.temp, name)); err != nil {
					return err
				}
			}
			return load(t)
		}},
	}
}

// again empties what the program made, for one more run.
func (t *trial) again() error {
	for _, dir := range []string{t.p.root, t.p.state, t.p.temp} {
		if err := removeAll(dir); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// open says what below a directory others can change, or see where the directory
// itself lets them in.
func open(dir string) (why string) {
	top, err := os.Lstat(dir)
	if err != nil {
		return ""
	}
	shut := top.Mode().Perm()&0o077 == 0
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || why != "" || d.Type()&fs.ModeSymlink != 0 {
			return nil
		}
		info, err := d.Info()
		switch {
		case err != nil:
		case info.Mode().Perm()&0o022 != 0:
			why = fmt.Sprintf("%s has the mode %o", path, info.Mode().Perm())
		case !shut && info.Mode().Perm()&0o007 != 0:
			why = fmt.Sprintf("others can enter %s", path)
		}
		return nil
	})
	return why
}
