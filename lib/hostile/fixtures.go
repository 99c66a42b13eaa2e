// Package hostile attacks programs that unpack layers and load images, and tells
// which attacks they hold against.
//
// Everything happens in a temporary directory: what an attack aims at are
// canaries beside the directory that it is unpacked to, by names that lead
// there. It does no harm to the machine whatever a program does with it, as far
// as the program does what the archive says and nothing else; the bombs among
// them take some hundred megabytes for a moment where they are let.
//
//	sum, err := hostile.Run(ctx, hostile.Options{Target: "tar -xf - -C {}", Told: show})
package hostile

import (
	"slices"
	"strings"
)

// Fixture is one attack.
type Fixture struct {
	// Row is that of the list of attacks, by which it is known elsewhere.
	Row  int    `json:"row"`
	Name string `json:"name"`

	kind   kind
	layers func(p places) [][]byte // for programs that unpack layers
	// refuse says that the program must fail: what is in it has no one meaning.
	refuse bool
	// overlay says that no attribute that steers an overlay may arrive.
	overlay bool
	// images makes archives of images, for programs that take these.
	images func(p places) [][]byte
	// quota is what the program may take.
	quota quota
	// race says that somebody else swaps directories meanwhile.
	race bool
	// judge says what is wrong with what the program did, "" for nothing, where
	// canaries and status do not tell.
	judge func(p places, t *trial) string
	// play runs the program in another way than once for each input.
	play func(t *trial) error
}

// kind is what a program does that an attack is for.
type kind int

const (
	ofLayer kind = iota
	ofImage
	ofBundle
	ofFetch
	ofBuild
)

// command is the command line that does it, "" if there is none.
func (o Options) command(k kind) string {
	return map[kind]string{ofLayer: o.Target, ofImage: o.Load, ofBundle: o.Bundle, ofFetch: o.Fetch, ofBuild: o.Build}[k]
}

// All are all attacks.
func All() []Fixture {
	return slices.Concat(Layers(), Images(), imageBombs(), users(), settings(), tags(), states(), fetches(), linked(), builds())
}

// places are directories of one attack.
type places struct {
	top     string // holds the others, a canary, and nothing else
	outside string // holds canaries
	root    string // is unpacked to; not there while an image is loaded
	cwd     string // is the program's working directory, and holds a canary
	state   string // is for what the program keeps
	temp    string // is where it makes temporary files
}

const (
	canary     = "canary"      // a file in outside, top and cwd
	canaryText = "the canary " // and its content, with its place
	up         = "../outside/" // as it is seen from root
	evil       = "written by an attack\n"
)

// one is a fixture of one layer.
func one(row int, name string, items func(p places) []item) Fixture {
	return Fixture{Row: row, Name: name, layers: func(p places) [][]byte { return [][]byte{tarOf(items(p)...)} }}
}

// fixed is one whose names do not depend on the directory.
func fixed(row int, name string, items ...item) Fixture {
	return one(row, name, func(places) []item { return items })
}

// Layers are the attacks by layers.
func Layers() []Fixture {
	list := []Fixture{
		fixed(1, "name/up", file(up+"new", evil)),
		fixed(1, "name/up-inside", dir("a"), file("a/../"+up+"new", evil)),
		fixed(1, "name/dot-up", file("./.././outside/new", evil)),
		fixed(1, "name/overwrite", file(up+canary, evil)),
		fixed(1, "name/up-dir", dir("../outside/new")),
		fixed(1, "name/up-symlink", symlink(up+"new", "x")),
		one(1, "name/absolute", func(p places) []item { return []item{file(p.outside+"/new", evil)} }),
		one(1, "name/double-slash", func(p places) []item { return []item{file("/"+p.outside+"/new", evil)} }),
		one(3, "root/symlink", func(p places) []item { return []item{symlink(".", p.outside), file("new", evil)} }),
		one(3, "root/dot-slash", func(p places) []item { return []item{symlink("./", p.outside), file("new", evil)} }),
		fixed(5, "whiteout/up", file(up+".wh."+canary, "")),
		fixed(5, "whiteout/opaque-up", file(up+".wh..wh..opq", "")),
		fixed(5, "whiteout/dotdot", file(".wh...", "")),
		fixed(5, "whiteout/dotdot-below", dir("a"), file("a/../.wh...", "")),
		one(8, "flip/final-link", func(p places) []item {
			return []item{symlink("f", p.outside+"/"+canary), file("f", evil)}
		}),
		one(8, "flip/file-to-link", func(p places) []item {
			return []item{file("f", "x"), symlink("f", up+canary), file("f", evil)}
		}),
		one(8, "flip/dir-to-link", func(p places) []item {
			return []item{dir("a"), symlink("a", p.outside), file("a/new", evil)}
		}),
		one(8, "flip/dangling", func(p places) []item {
			return []item{symlink("f", p.outside+"/new"), file("f", evil)}
		}),
	}
	list = append(list, hardlinks()...)
	list = append(list, attributes()...)
	list = append(list, throughLinks()...)
	list = append(list, ambiguous()...)
	list = append(list, broken()...)
	list = append(list, bombs()...)
	list = append(list, helpersInTree()...)
	list = append(list, collisions()...)
	return append(list, races()...)
}

// hardlinks lead to a file outside, and write to it.
func hardlinks() []Fixture {
	var list []Fixture
	for name, to := range map[string]func(p places) string{
		"absolute": func(p places) string { return p.outside + "/" + canary },
		"up":       func(places) string { return up + canary },
		"cwd":      func(places) string { return "cwd-" + canary },
	} {
		list = append(list,
			one(4, "hardlink/"+name, func(p places) []item { return []item{hardlink("h", to(p))} }),
			one(4, "hardlink/"+name+"-write", func(p places) []item { return []item{hardlink("h", to(p)), file("h", evil)} }))
	}
	return append(list,
		one(4, "hardlink/through-link", func(p places) []item {
			return []item{symlink("l", p.outside), hardlink("h", "l/"+canary), file("h", evil)}
		}),
		one(4, "hardlink/to-link", func(p places) []item {
			return []item{symlink("l", p.outside+"/"+canary), hardlink("h", "l"), file("h", evil)}
		}))
}

// attributes change what a link leads to, or steer an overlay.
func attributes() []Fixture {
	list := []Fixture{
		one(6, "attribute/mode-of-link", func(p places) []item { return []item{symlink("l", p.outside+"/"+canary)} }),
		one(6, "attribute/mode-of-dir", func(p places) []item { return []item{symlink("l", p.outside), dir("l")} }),
		one(6, "attribute/time-of-link", func(p places) []item {
			s := symlink("l", p.outside+"/"+canary)
			s.pax = []string{"mtime=1"}
			return []item{s}
		}),
		one(6, "attribute/xattr-of-link", func(p places) []item {
			s := symlink("l", p.outside+"/"+canary)
			s.xattrs = []string{"user.evil=1"}
			return []item{s}
		}),
	}
	for _, x := range []string{"user.overlay.opaque=y", "user.overlay.redirect=/../../outside", "user.overlay.whiteout=y", "user.overlay.metacopy="} {
		d := dir("d")
		d.xattrs = []string{x}
		f := fixed(7, "overlay/"+strings.TrimSuffix(strings.Split(x, "=")[0], "="), d)
		f.overlay = true
		list = append(list, f)
	}
	return list
}

// throughLinks do all that an entry can do, below a link that leads outside.
func throughLinks() []Fixture {
	ways := map[string]func(p places) []item{
		"absolute": func(p places) []item { return []item{symlink("l", p.outside)} },
		"relative": func(places) []item { return []item{symlink("l", "../outside")} },
		"chained":  func(p places) []item { return []item{symlink("k", p.outside), symlink("l", "k")} },
		"up-chain": func(places) []item { return []item{symlink("k", ".."), symlink("l", "k/outside")} },
	}
	acts := map[string][]item{
		"file":     {file("l/new", evil)},
		"dir":      {dir("l/new")},
		"symlink":  {symlink("l/new", "x")},
		"hardlink": {file("f", "x"), hardlink("l/new", "f")},
		"whiteout": {file("l/.wh."+canary, "")},
		"opaque":   {file("l/.wh..wh..opq", "")},
		"replace":  {file("l/"+canary, evil)},
		"fifo":     {{name: "l/new", kind: '6'}},
	}
	var list []Fixture
	for way, link := range ways {
		for act, items := range acts {
			list = append(list,
				one(2, "link/"+way+"/"+act, func(p places) []item { return append(link(p), items...) }),
				Fixture{Row: 2, Name: "link/" + way + "/" + act + "-in-next-layer", layers: func(p places) [][]byte {
					return [][]byte{tarOf(link(p)...), tarOf(items...)}
				}})
		}
	}
	return list
}

// ambiguous are archives that programs read in different ways.
func ambiguous() []Fixture {
	hidden := string(tarOf(file("smuggled", evil)))[:2*block]
	size := item{name: "f", content: hidden, size: 8, pax: []string{"size=1024"}}
	paths := item{name: "f", content: "x", pax: []string{"path=a", "path=b"}}
	long := []byte(tarOf(item{name: "././@LongLink", kind: 'L', content: "from-gnu\x00"}))
	clash := append(long[:2*block:2*block], tarOf(item{name: "f", content: "x", pax: []string{"path=from-pax"}})...)
	whole := tarOf(file("f", "x"))
	list := []Fixture{
		fixed(10, "ambiguous/two-sizes", size),
		fixed(10, "ambiguous/two-paths", paths),
		fixed(10, "ambiguous/long-name-and-path", item{}),
		fixed(9, "ambiguous/no-end", item{}),
	}
	list[2].layers = func(places) [][]byte { return [][]byte{clash} }
	list[3].layers = func(places) [][]byte { return [][]byte{whole[:2*block]} }
	for i := range list {
		list[i].refuse = true
	}
	return list
}
