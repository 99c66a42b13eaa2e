package tests

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Kinds of edits.
const (
	depContent  = "content"
	depTouch    = "touch"
	depComment  = "comment"
	depRemove   = "remove"
	depAdd      = "add a file"
	depRetarget = "retarget"
	depIgnore   = "add an ignore file"
)

var depKinds = []string{depContent, depRetarget, depAdd, depRemove, depIgnore, depComment, depTouch}

// depEdit changes one path. Its undo leaves all but times as it was.
type depEdit struct {
	kind, path string
	do         func() (undo func() error, err error)
}

// edits are those of every path that is there, but for make's files.
func (d *depTrial) edits() ([]depEdit, error) {
	var list []depEdit
	add := func(kind, path string, do func() (func() error, error)) {
		rel, _ := filepath.Rel(d.dir, path) // both absolute
		list = append(list, depEdit{kind, rel, do})
	}
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		top := filepath.Dir(path) == d.dir
		switch name := e.Name(); {
		case path == d.dir, top && (name == "Makefile" || name == "ran" || name == "said" || strings.HasPrefix(name, "image.")):
			return nil
		case e.IsDir():
			add(depAdd, path, func() (func() error, error) { return addFile(filepath.Join(path, "added"), "1\n") })
		case e.Type()&fs.ModeSymlink != 0:
			add(depRetarget, path, func() (func() error, error) { return retarget(path) })
		case e.Type().IsRegular():
			d.fileEdits(path, add)
		}
		if e.IsDir() && top {
			add(depIgnore, filepath.Join(path, ".dockerignore"), func() (func() error, error) { return addFile(filepath.Join(path, ".dockerignore"), "*\n") })
			return nil
		}
		add(depRemove, path, func() (func() error, error) { return moveAway(path, d.path("away")) })
		return nil
	})
	file := d.file()
	add(depIgnore, file+".dockerignore", func() (func() error, error) { return addFile(file+".dockerignore", "**\n") })
	return list, err
}

// file is the Dockerfile's path.
func (d *depTrial) file() string {
	for _, v := range d.env {
		if name, ok := strings.CutPrefix(v, "FILE="); ok {
			return d.path(name)
		}
	}
	return ""
}

// fileEdits adds those of a regular file.
func (d *depTrial) fileEdits(path string, add func(kind, path string, do func() (func() error, error))) {
	text := "edited\n"
	switch {
	case path == d.file():
		text = "\nLABEL edited=1\n"
	case filepath.Ext(path) == ".dockerignore":
		text = "\n*\n"
	}
	add(depContent, path, func() (func() error, error) { return appendTo(path, text) })
	if text != "edited\n" {
		add(depComment, path, func() (func() error, error) { return appendTo(path, "\n# a comment\n") })
	}
	add(depTouch, path, func() (func() error, error) {
		now := time.Now()
		return func() error { return nil }, os.Chtimes(path, now, now)
	})
}

// appendTo writes to the file as it is: its other names and its mode stay.
func appendTo(path, text string) (func() error, error) {
	had, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	write := func(content []byte) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		err = errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, content, 0o600))
		return errors.Join(err, os.Chmod(path, info.Mode()))
	}
	return func() error { return write(had) }, write(append(had[:len(had):len(had)], text...))
}

func addFile(path, text string) (func() error, error) {
	if _, err := os.Lstat(path); err == nil {
		return appendTo(path, text)
	}
	return func() error { return os.Remove(path) }, os.WriteFile(path, []byte(text), 0o644)
}

func retarget(path string) (func() error, error) {
	had, err := os.Readlink(path)
	if err != nil {
		return nil, err
	}
	set := func(target string) error { return errors.Join(os.Remove(path), os.Symlink(target, path)) }
	return func() error { return set(had) }, set("elsewhere")
}

func moveAway(path, to string) (func() error, error) {
	if _, err := os.Lstat(to); err == nil {
		return nil, fmt.Errorf("%s is there", to)
	}
	return func() error { return os.Rename(to, path) }, os.Rename(path, to)
}
