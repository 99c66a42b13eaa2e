package layer

import (
	"encoding/binary"
	"errors"
	"hash/maphash"

	"docksmith/lib/rootfs"

	"golang.org/x/sys/unix"
)

// added remembers what a layer has put into a tree where there is something else,
// older content or marks, as hashes of (directory, name): 64 bits an entry, keyed so that no tar can aim at a collision.
// By identity and not by path, because paths may lead through links.
type added map[uint64]struct{}

var addedSeed = maphash.MakeSeed()

func newAdded() added { return added{} }

func addedKey(dir *unix.Stat_t, name string) uint64 {
	var h maphash.Hash
	h.SetSeed(addedSeed)
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(dir.Dev))
	binary.LittleEndian.PutUint64(b[8:], dir.Ino)
	h.Write(b[:])
	h.WriteString(name)
	return h.Sum64()
}

func (s added) put(dir *unix.Stat_t, name string) {
	if s != nil {
		s[addedKey(dir, name)] = struct{}{}
	}
}

func (s added) has(dir *unix.Stat_t, name string) bool {
	_, ok := s[addedKey(dir, name)]
	return ok
}

// Keep and Clean decide for rootfs.EmptyAt: a name of this layer stays, but not what
// was in it before. A directory that has been gone through once holds nothing
// else any more, so that many marks cost no more than one.
func (s added) Keep(dir *unix.Stat_t, name string) bool { return s.has(dir, name) }

func (s added) Clean(dir *unix.Stat_t) bool {
	if s.has(dir, ".") {
		return true
	}
	s.put(dir, ".")
	return false
}

// whiteout removes e.Path as the layers below have it.
func (a *applier) whiteout(e *Entry) error {
	dir, base := splitPath(e.Path)
	if a.o.Form == Overlay {
		return a.whiteoutOverlay(e.Path, dir, base)
	}
	if a.added == nil {
		return nil // there was nothing before
	}
	if ok, err := a.enterExisting(orDot(dir)); err != nil || !ok {
		return err
	}
	if err := rootfs.RemoveUnless(a.cur.fd, base, a.added); err != nil {
		return pathError("remove", e.Path, err)
	}
	a.forget()
	return nil
}

// whiteoutOverlay hides a name of the layers below. Where this layer has a directory of
// that name, that hides it as a whole.
func (a *applier) whiteoutOverlay(path, dir, base string) error {
	if a.view == nil {
		return nil
	}
	if !a.o.KeepWhiteouts {
		below, err := a.view.hides(dir, base)
		if err != nil || !below {
			return err
		}
	}
	if err := a.enter(dir); err != nil {
		return pathError("make whiteout of", path, err)
	}
	return a.hide(path, base)
}

// hide makes sure that nothing from below is seen at base of the current
// directory. A directory that is there only because of marks inside goes: what is
// added to it later begins anew.
func (a *applier) hide(path, base string) error {
	if a.view == nil {
		return nil
	}
	err := mknodat(a.cur.fd, base, unix.S_IFCHR|0o600, 0, 0)
	if errors.Is(err, unix.EEXIST) {
		if err := rootfs.RemoveUnless(a.cur.fd, base, a.added); err != nil {
			return pathError("make whiteout of", path, err)
		}
		a.forget()
		err = mknodat(a.cur.fd, base, unix.S_IFCHR|0o600, 0, 0)
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return pathError("make whiteout of", path, err)
	}
	fd, err := a.openBelow(a.cur.fd, base)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // a file or a link hides what is below by itself
	}
	if err != nil {
		return pathError("open", path, err)
	}
	defer unix.Close(fd)
	return setOpaque(fd, path)
}

// opaque removes what the layers below have in the directory e.Path.
func (a *applier) opaque(e *Entry) error {
	if a.o.Form == Overlay {
		return a.opaqueOverlay(e.Path)
	}
	if a.added == nil {
		return nil
	}
	if ok, err := a.enterExisting(e.Path); err != nil || !ok {
		return err
	}
	if err := rootfs.EmptyAt(a.cur.fd, ".", a.added); err != nil {
		return pathError("empty", e.Path, err)
	}
	a.forget()
	return nil
}

func (a *applier) opaqueOverlay(path string) error {
	if a.view == nil {
		return nil
	}
	if path != "." && !a.o.KeepWhiteouts {
		below, err := a.view.merges(path)
		if err != nil || !below {
			return err
		}
	}
	if err := a.enter(path); err != nil {
		return pathError("make opaque", path, err)
	}
	if err := rootfs.EmptyAt(a.cur.fd, ".", a.added); err != nil {
		return pathError("empty", path, err)
	}
	a.forget()
	if path == "." {
		a.view.opaque = true // overlayfs heeds no mark on the root of a layer: see hideRoot
		return nil
	}
	fd, err := a.openBelow(a.cur.fd, ".")
	if err != nil {
		return pathError("open", path, err)
	}
	defer unix.Close(fd)
	return setOpaque(fd, path)
}

// hideRoot hides all names at the root of the layers below.
func (a *applier) hideRoot() error {
	names, err := a.view.rootNames()
	if err != nil {
		return err
	}
	if err := a.enter("."); err != nil {
		return err
	}
	for _, name := range names {
		if err := a.hide(name, name); err != nil {
			return err
		}
	}
	return nil
}

func orDot(path string) string {
	if path == "" {
		return "."
	}
	return path
}
