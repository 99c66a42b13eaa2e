package hostile

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// quota is what a program may take for one attack. Zero: it is not looked at.
type quota struct {
	bytes   int64 // of all files in the root, holes included
	entries int   // in the root
	depth   int   // of the root
	memory  int64 // resident at once, in one process
}

// The quotas of bombs, which are made to take more. The machine stays usable:
// no bomb is larger than bombSize, holes aside, and no file may become larger
// than fileLimit.
const (
	maxDepth  = 1200
	maxMemory = 128 * megabyte
	bombSize  = 144 * megabyte
	fileLimit = 96 * megabyte
)

// MaxBytes and MaxEntries are the quotas of one attack, for programs that have
// to be told: what is larger must be refused.
const (
	MaxBytes   = 64 * megabyte
	MaxEntries = 3000
)

// header is an entry whose content may come after it.
func header(it item) []byte {
	var b bytes.Buffer
	it.write(&b)
	return b.Bytes()
}

// bomb is an attack by one layer that is a bomb.
func bomb(name string, q quota, blob func() []byte) Fixture {
	return Fixture{Row: 9, Name: "bomb/" + name, quota: q, layers: func(places) [][]byte { return [][]byte{blob()} }}
}

// broken are layers that are not one whole compressed stream.
func broken() []Fixture {
	small := tarOf(file("f", "x"))
	two := bomb("members", quota{}, func() []byte {
		return gzipped(stretch{header(file("first", "x")), 0}, stretch{tarOf(file("second", "x")), 0})
	})
	two.judge = func(p places, t *trial) string {
		if t.status == 0 && missing(p, "first", "second") {
			return "only a part of what is compressed was read"
		}
		return ""
	}
	garbage := bomb("garbage", quota{}, func() []byte { return append(gzipOf(small), "garbage, not zeros"...) })
	cut := bomb("cut", quota{}, func() []byte { g := gzipOf(small); return g[:len(g)-6] })
	garbage.refuse, cut.refuse = true, true
	return []Fixture{two, garbage, cut}
}

// bombs take the machine's disk, memory or time, if they are let.
func bombs() []Fixture {
	end := make([]byte, 2*block)
	big := item{name: "big", size: bombSize}
	record := item{name: "PaxHeader", kind: 'x', size: bombSize}
	name := item{name: "././@LongLink", kind: 'L', size: bombSize}
	small := tarOf(file("f", "x"))
	long := func(it item) func() []byte {
		return func() []byte {
			// The record begins like one; what follows is its value.
			return zstdOf(20, stretch{header(it), bombSize}, stretch{small, 0})
		}
	}
	window := bomb("window", quota{memory: maxMemory}, func() []byte {
		return zstdOf(31, stretch{header(big), bombSize}, stretch{end, 0})
	})
	window.refuse = true
	sizes := quota{bytes: MaxBytes, memory: maxMemory}
	return []Fixture{
		window,
		bomb("gzip", sizes, func() []byte { return gzipped(stretch{header(big), bombSize}, stretch{end, 0}) }),
		bomb("zstd", sizes, func() []byte {
			var parts []stretch
			for i := range bombSize / megabyte {
				parts = append(parts, stretch{header(item{name: fmt.Sprintf("big-%d", i), size: megabyte}), megabyte})
			}
			return zstdOf(20, append(parts, stretch{end, 0})...)
		}),
		bomb("gzip-in-gzip", sizes, func() []byte {
			return gzipOf(gzipOf(gzipped(stretch{header(big), bombSize}, stretch{end, 0})))
		}),
		bomb("long-record", quota{memory: maxMemory}, long(record)),
		bomb("long-name", quota{memory: maxMemory}, long(name)),
		bomb("entries", quota{entries: MaxEntries}, func() []byte {
			var items []item
			for i := range MaxEntries + 1000 {
				items = append(items, file(fmt.Sprint(i), ""))
			}
			return gzipOf(tarOf(items...))
		}),
		bomb("deep", quota{depth: maxDepth}, func() []byte { return tarOf(dir(strings.Repeat("d/", maxDepth+300) + "d")) }),
		bomb("deep-by-links", quota{depth: maxDepth}, deepByLinks),
		bomb("sparse-size", sizes, func() []byte { return sparse("1\n0\n1\n", 1<<40, stretch{make([]byte, block), 0}) }),
		bomb("sparse-map", sizes, func() []byte {
			entry := "1\n0\n"
			lines := []byte(strings.Repeat(entry, megabyte/len(entry)))
			parts := make([]stretch, 0, 64)
			for range cap(parts) {
				parts = append(parts, stretch{lines, 0})
			}
			return sparse(fmt.Sprintf("%d\n", len(parts)*megabyte/len(entry)), 1<<30, parts...)
		}),
	}
}

// imageBombs are archives of images that are more than their reader has room for.
func imageBombs() []Fixture {
	big := func(name string, before ...item) Fixture {
		return Fixture{Row: 9, Name: "bomb/" + strings.TrimSuffix(filepath.Base(name), ".json"), kind: ofImage, refuse: true, quota: quota{memory: maxMemory},
			images: func(places) [][]byte {
				var head bytes.Buffer
				for _, it := range append(before, item{name: name, size: bombSize}) {
					it.write(&head)
				}
				return [][]byte{gzipped(stretch{head.Bytes(), bombSize}, stretch{make([]byte, 2*block), 0})}
			}}
	}
	layout := file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
	return []Fixture{big("index.json", layout), big("manifest.json"), big("oci-layout")}
}

// deepByLinks makes a tree that is deeper than any of its names, through links
// from one part to the next.
func deepByLinks() []byte {
	const part, parts = 400, 3
	path := strings.Repeat("d/", part) + "d"
	items := []item{dir(path), symlink("l0", path)}
	for i := range parts {
		items = append(items, dir(fmt.Sprintf("l%d/%s", i, path)), symlink(fmt.Sprintf("l%d", i+1), fmt.Sprintf("l%d/%s", i, path)))
	}
	return tarOf(items...)
}

// sparse is a tar with a sparse file of the given size, whose map of extents
// comes before the data: head, and what follows.
func sparse(head string, size int64, rest ...stretch) []byte {
	length := len(head)
	for _, r := range rest {
		length += len(r.data) + r.zeros
	}
	// A map fills its blocks.
	first := stretch{[]byte(head), 0}
	if pad := -len(head) & (block - 1); pad > 0 && len(rest) == 1 {
		first.data, length = append(first.data, make([]byte, pad)...), length+pad
	}
	var b bytes.Buffer
	item{name: "GNUSparseFile.0/sparse", size: length, pax: []string{
		"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=sparse", fmt.Sprintf("GNU.sparse.realsize=%d", size),
	}}.write(&b)
	parts := append([]stretch{{b.Bytes(), 0}, first}, rest...)
	parts = append(parts, stretch{make([]byte, -length&(block-1)+2*block), 0})
	if len(rest) > 1 {
		return gzipped(parts...)
	}
	var all []byte
	for _, p := range parts {
		all = append(all, p.data...)
	}
	return gzipOf(all)
}

// exceeded says which quota is exceeded, "" for none.
func (q quota) exceeded(p places, memory int64) string {
	if q.memory > 0 && memory > max(q.memory, ownPeak()) {
		return fmt.Sprintf("%d MiB of memory, more than %d", memory/megabyte, q.memory/megabyte)
	}
	if q.bytes == 0 && q.entries == 0 && q.depth == 0 {
		return ""
	}
	var size int64
	entries, depth := -1, 0 // the root is none
	_ = filepath.WalkDir(p.root, func(path string, d fs.DirEntry, err error) error {
		depth = max(depth, strings.Count(path[len(p.root):], "/"))
		entries++
		if d != nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	switch {
	case q.bytes > 0 && size > q.bytes:
		return fmt.Sprintf("files of %d MiB, more than %d", size/megabyte, q.bytes/megabyte)
	case q.entries > 0 && entries > q.entries:
		return fmt.Sprintf("%d files, more than %d", entries, q.entries)
	case q.depth > 0 && depth > q.depth:
		return fmt.Sprintf("directories %d deep, more than %d", depth, q.depth)
	}
	return ""
}

// ownPeak is the most memory that this process had. The kernel counts it as that
// of each program it starts, as long as that has less.
func ownPeak() int64 {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return int64(use.Maxrss) << 10
}
