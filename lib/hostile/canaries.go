package hostile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// prepare makes the directories of an attack, and their canaries.
func prepare(top string) (places, error) {
	p := places{top: top, outside: filepath.Join(top, "outside"), root: filepath.Join(top, "root"), cwd: filepath.Join(top, "cwd"), state: filepath.Join(top, "state"), temp: filepath.Join(top, "temp")}
	for _, dir := range []string{p.outside, p.root, p.cwd, filepath.Join(p.outside, "dir")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return p, err
		}
	}
	for _, dir := range []string{p.state, p.temp} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return p, err
		}
	}
	for name, text := range map[string]string{"passwd": outsidePasswd, "group": outsideGroup} {
		path, when := filepath.Join(p.outside, name), time.Unix(itemTime, 0) // as a link to it has
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, when, when)); err != nil {
			return p, err
		}
	}
	old := time.Unix(1600000000, 0)
	for _, name := range []string{filepath.Join(top, canary), filepath.Join(p.outside, canary), filepath.Join(p.outside, "dir", canary), filepath.Join(p.cwd, "cwd-"+canary)} {
		err := os.WriteFile(name, []byte(canaryText+name+"\n"), 0o640)
		if err == nil {
			err = os.Chtimes(name, old, old)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// survey describes everything beside the root: what it is, its mode, owner, links,
// time, content and one attribute.
func survey(p places) (map[string]string, error) {
	seen := map[string]string{}
	err := filepath.WalkDir(p.top, func(path string, d fs.DirEntry, err error) error {
		if apart := path == p.root || path == p.state || path == p.temp; err != nil || apart {
			if d != nil && apart && d.IsDir() {
				return fs.SkipDir
			}
			return ignoreGone(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return ignoreGone(err)
		}
		text := fmt.Sprintf("mode %o owner %d:%d", st.Mode, st.Uid, st.Gid)
		if !d.IsDir() {
			text += fmt.Sprintf(" links %d time %d", st.Nlink, st.Mtim.Sec)
		}
		if d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return ignoreGone(err)
			}
			text += " content " + string(content)
		}
		var value [16]byte
		if n, err := unix.Lgetxattr(path, "user.evil", value[:]); err == nil && n >= 0 {
			text += " attribute"
		}
		seen[path] = text
		return nil
	})
	return seen, ignoreGone(err)
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// escaped says what an attack reached, "" for nothing.
func (p places) escaped(before map[string]string, f Fixture) string {
	after, err := survey(p)
	if err != nil {
		return err.Error()
	}
	for path, was := range before {
		switch is, ok := after[path]; {
		case !ok:
			return path + " is gone"
		case is != was:
			return path + " was changed"
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			return path + " was made"
		}
	}
	if st, err := os.Lstat(p.root); err == nil && !st.IsDir() {
		return "the root is no directory any more"
	}
	if _, err := os.Lstat(filepath.Join(p.root, ranMark)); err == nil {
		return "a program of the image was run"
	}
	return p.inside(f)
}

// inside looks for what must not have come into the root: a canary's content, and
// attributes of an overlay.
func (p places) inside(f Fixture) (why string) {
	_ = filepath.WalkDir(p.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || why != "" {
			return nil
		}
		if d.Type().IsRegular() {
			if head(path, len(canaryText)) == canaryText {
				why = path + " is a canary"
			}
		}
		list := make([]byte, 4096)
		if n, err := unix.Llistxattr(path, list); f.overlay && err == nil && strings.Contains(string(list[:n]), ".overlay.") {
			why = path + " has an attribute of an overlay"
		}
		return nil
	})
	return why
}

// head is how a file begins, which may be a bomb.
func head(path string, n int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, n)
	n, _ = io.ReadFull(f, b)
	return string(b[:n])
}

// content is that of a small file in the root.
func content(p places, name string) string { return head(filepath.Join(p.root, name), 4096) }

// missing tells whether one of these is not in the root.
func missing(p places, names ...string) bool {
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(p.root, name)); err != nil {
			return true
		}
	}
	return false
}
