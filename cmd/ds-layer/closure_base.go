package main

import (
	"errors"
	"io"
	"io/fs"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/elf"
	"docksmith/lib/layer"
)

// hostPrograms are what a system of the root's own shell and core utilities
// has, as far as they are there.
var hostPrograms = strings.Fields(`[ awk base64 basename bash cat chgrp chmod chown chroot cksum clear cmp comm cp cut
	date dd df diff dirname du echo egrep env expand expr false fgrep find fold getent grep groups gunzip gzip head
	hostname id install join kill link ln ls md5sum mkdir mkfifo mknod mktemp more mount mv nice nl nohup nproc od
	paste patch pathchk pr printenv printf ps pwd readlink realpath rm rmdir sed seq sh sha1sum sha256sum sha512sum
	sleep sort split stat stty sum sync tac tail tar tee test timeout touch tr true truncate tsort tty umount uname
	unexpand uniq unlink wc which who whoami xargs yes zcat`)

// baseDirs and baseFiles are what programs expect of any system.
var baseDirs = map[string]fs.FileMode{
	"dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "sys": 0o755,
	"tmp": 0o777 | fs.ModeSticky, "usr/local/bin": 0o755, "var/log": 0o755, "var/tmp": 0o777 | fs.ModeSticky,
}

var baseFiles = map[string]string{
	"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
	"etc/group":         "root:x:0:\nnobody:x:65534:\n",
	"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

// base is what --base adds to a closure.
type base struct {
	root     string
	programs []string // of the root, wanted
	optional []string // of the root, taken where they are there
	dirs     map[string]fs.FileMode
	files    map[string]string
	busybox  []elf.Path // its closure, itself without its links
	applets  []string
}

// newBase finds out what the wished kind of base consists of on this root.
func newBase(o closureFlags) (*base, error) {
	b := &base{root: o.root, dirs: baseDirs, files: baseFiles}
	switch o.base {
	case "":
		return &base{}, nil
	case "busybox":
		return b, b.findBusybox()
	case "auto":
		if b.findBusybox() == nil {
			return b, nil
		}
	case "host":
	default:
		return nil, cli.Usagef("--base %q: auto, busybox or host", o.base)
	}
	b.programs, b.optional = []string{"sh"}, hostPrograms
	return b, nil
}

// findBusybox looks for the root's busybox and reads which applets it has.
func (b *base) findBusybox() error {
	paths, err := elf.Closure(b.root, []string{"busybox"}, elf.Options{})
	if err != nil {
		return err
	}
	var needed []elf.Path
	for _, p := range paths {
		if p.Kind == elf.Program {
			if b.applets, err = elf.Applets(b.root, p.Name); err != nil {
				return err
			}
		}
		if p.Kind != elf.Link || p.For != "" {
			needed = append(needed, p) // not the links that lead to where it is in the root
		}
	}
	if len(b.applets) == 0 {
		return errNotBusybox
	}
	b.busybox = needed
	return nil
}

// addTo adds the base to a layer, where the layer has nothing else already. The
// busybox is put where both /bin and /usr/bin find it, its applets around it.
func (b *base) addTo(set *sourceSet) error {
	var errs []error
	try := func(name string, add func() error) {
		if _, ok := set.byPath[name]; !ok {
			errs = append(errs, add())
		}
	}
	for name, mode := range b.dirs {
		try(name, func() error { return set.add(directory(name, mode)) })
	}
	for name, text := range b.files {
		try(name, func() error { return set.addText(name, text) })
	}
	for _, p := range b.busybox {
		if p.Kind != elf.Program {
			errs = append(errs, set.addPaths(b.root, []elf.Path{p}))
			continue
		}
		errs = append(errs, set.addFileAs(b.root, p.Name, "usr/bin/busybox"))
		for name, target := range map[string]string{"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "bin"} {
			try(name, func() error { return set.addLink(name, target) })
		}
	}
	for _, name := range b.applets {
		try("usr/bin/"+name, func() error { return set.addLink("usr/bin/"+name, "busybox") })
	}
	return errors.Join(errs...)
}

// addText adds a file of root's that everyone may read.
func (s *sourceSet) addText(name, text string) error {
	return s.add(layer.Source{
		Entry: layer.Entry{Path: name, Mode: 0o644, Size: int64(len(text))},
		Open:  func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	})
}

// addFileAs adds a file of the root in dir under another name.
func (s *sourceSet) addFileAs(dir, from, name string) error {
	root, err := s.open(dir)
	if err != nil {
		return err
	}
	return s.addFile(root, strings.TrimPrefix(from, "/"), name)
}
