package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"docksmith/lib/layer"
)

// snapshot compares an unpacked layer with the layer: each file with its content,
// mode, owner, time, and attributes, and that there is no other. Of each entry
// two sums of 64 bits with a random seed are kept, so memory is small, and
// nobody can prepare files that look alike.
//
// What a build left holds more than its layer has: overlayfs copies up what
// nobody changed. So it is first read as what it changes in the layers below;
// and, since layers made elsewhere also speak of what they do not change, then
// as it is. Either proves it.
func (p *storeProof) snapshot(s *stacked) error {
	var least []string
	for i, changes := range []bool{true, false} {
		t := newTwin(p, s, changes)
		err := t.compare()
		if errors.Is(err, errLayer) {
			return nil // the blob was found to be damaged, or to be missing
		}
		if err != nil && !refutes(p.ctx, err) {
			return err
		}
		if err != nil {
			t.note("%v", err)
		}
		if len(t.found) == 0 {
			return nil
		}
		if i == 0 || len(t.found) < len(least) {
			least = t.found
		}
	}
	for _, problem := range least {
		p.note(Finding{Area: "snapshot", Name: s.chain.String(), Problem: problem})
	}
	return nil
}

var errLayer = errors.New("read layer")

// twin is the comparison of one snapshot.
type twin struct {
	proof   *storeProof
	stacked *stacked
	lowers  []string // top first
	changes bool     // only what it changes in them is looked at
	found   []string
	seed    maphash.Seed
	// unprivileged users cannot make devices, nor set all attributes.
	unprivileged bool

	seen map[uint64]twinEntry
}

func newTwin(p *storeProof, s *stacked, changes bool) *twin {
	t := &twin{proof: p, stacked: s, changes: changes, seed: maphash.MakeSeed(), seen: map[uint64]twinEntry{},
		lowers: []string{}, unprivileged: strings.HasPrefix(layer.OpaqueXattr(), "user.")}
	for low := s.parent; low != nil; low = low.parent {
		t.lowers = append(t.lowers, p.store.SnapshotPath(low.chain))
	}
	return t
}

func (t *twin) compare() error {
	if err := t.fromLayer(t.expect); err != nil {
		return err
	}
	if err := t.fromSnapshot(); err != nil {
		return err
	}
	if !t.missing() {
		return nil
	}
	return t.fromLayer(t.absent)
}

// twinEntry is what is known of a path.
type twinEntry struct {
	want, got uint64
	state     twinState
}

type twinState uint16

const (
	inLayer    twinState = 1 << iota // it has an entry in the layer
	inSnapshot                       // it is unpacked
	isParent                         // something in the layer lies below it
	isAny                            // what it is cannot be told from the layer alone
	isDevice
	isHidden  // the layer removes it, or something below it
	isRemoved // the snapshot has a mark that says so
	isOpaque  // or one on a directory
)

func (t *twin) note(format string, args ...any) {
	t.found = append(t.found, fmt.Sprintf(format, args...))
}

func (t *twin) id(name string) uint64 { return maphash.String(t.seed, name) }

// fromLayer reads the entries of the layer.
func (t *twin) fromLayer(entry func(*layer.Entry, io.Reader) error) error {
	blob, err := os.Open(t.proof.store.BlobPath(t.stacked.layer.Digest))
	if err != nil {
		return fmt.Errorf("%w: %w", errLayer, err)
	}
	defer blob.Close()
	tar, _, err := layer.Decompress(&counted{blob, t.proof.progress}, layer.DecompressOptions{})
	if err != nil {
		return fmt.Errorf("%w: %w", errLayer, err)
	}
	defer tar.Close()
	if err := t.read(tar, entry); err != nil {
		return fmt.Errorf("%w: %w", errLayer, err)
	}
	return nil
}

type counted struct {
	io.Reader
	read func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read(n)
	return n, err
}

func (t *twin) read(tar io.Reader, entry func(*layer.Entry, io.Reader) error) error {
	r := layer.NewReader(tar, layer.ReaderOptions{})
	for {
		e, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = t.proof.ctx.Err()
		}
		if err == nil && e.Path != "." {
			err = entry(e, r)
		}
		if err != nil {
			return err
		}
	}
}

// expect notes what the layer says of a path. The last entry of a path counts.
func (t *twin) expect(e *layer.Entry, content io.Reader) error {
	if e.Type == layer.TypeWhiteout || e.Type == layer.TypeOpaque {
		t.hide(e.Path)
		return nil
	}
	id := t.id(e.Path)
	old := t.seen[id]
	old.state = old.state&isParent | inLayer
	if e.Type == layer.TypeLink {
		target, ok := t.seen[t.id(e.Linkname)]
		old.want = target.want
		if !ok || target.state&(inLayer|isAny) != inLayer {
			old.state |= isAny // a file of a layer below
		}
	} else {
		sum, err := t.sum(e, content)
		if err != nil {
			return err
		}
		old.want = sum
	}
	if e.Type == layer.TypeChar || e.Type == layer.TypeBlock {
		old.state |= isDevice
	}
	t.seen[id] = old
	for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
		id := t.id(dir)
		above := t.seen[id]
		if above.state&isParent != 0 {
			break
		}
		above.state |= isParent
		t.seen[id] = above
	}
	return nil
}

// hide notes that the layer removes a path. A directory that hides all below it
// says so once, where a layer may say it of every name.
func (t *twin) hide(name string) {
	for ; name != "."; name = path.Dir(name) {
		id := t.id(name)
		old := t.seen[id]
		if old.state&isHidden != 0 {
			return
		}
		old.state |= isHidden
		t.seen[id] = old
	}
}

// fromSnapshot reads the directory as the layer that it would make.
func (t *twin) fromSnapshot() error {
	o := layer.CreateOptions{KeepTimes: true}
	if t.changes {
		o.Lowers = t.lowers
	}
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.proof.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(layer.PackUpper(ctx, w, t.proof.store.SnapshotPath(t.stacked.chain), o))
	}()
	err := t.read(r, t.unpacked)
	cancel()
	r.CloseWithError(err)
	<-done
	return err
}

// unpacked compares what is unpacked with what the layer says of it.
func (t *twin) unpacked(e *layer.Entry, content io.Reader) error {
	id := t.id(e.Path)
	if e.Type == layer.TypeWhiteout || e.Type == layer.TypeOpaque {
		t.mark(id, e)
		return nil
	}
	old := t.seen[id]
	var err error
	if e.Type == layer.TypeLink {
		old.got = t.seen[t.id(e.Linkname)].got
	} else if old.got, err = t.sum(e, content); err != nil {
		return err
	}
	switch {
	case old.state&(inLayer|isParent) == 0 && (old.state&isHidden == 0 || e.Type != layer.TypeDir):
		t.note("%q is not in the layer", e.Path)
	case old.state&inLayer == 0 && e.Type != layer.TypeDir:
		t.note("%q is a %s, and entries of the layer lie below it", e.Path, e.Type)
	case old.state&(inLayer|isAny) == inLayer && old.got != old.want:
		t.note("%q is not what the layer has", e.Path)
	}
	old.state |= inSnapshot
	t.seen[id] = old
	return nil
}

// mark notes a mark of the snapshot that hides what is below.
func (t *twin) mark(id uint64, e *layer.Entry) {
	old := t.seen[id]
	if old.state&isHidden == 0 {
		t.note("%q has a mark that hides what is below, the layer none", e.Path)
	}
	old.state |= isRemoved
	if e.Type == layer.TypeOpaque {
		old.state |= isOpaque
	}
	t.seen[id] = old
}

// missing says whether anything of the layer may not be unpacked.
func (t *twin) missing() bool {
	for _, e := range t.seen {
		if e.state&(inLayer|inSnapshot) == inLayer || e.state&(isHidden|isRemoved) == isHidden {
			return true
		}
	}
	return false
}

// absent names an entry that is not unpacked.
func (t *twin) absent(e *layer.Entry, _ io.Reader) error {
	old := t.seen[t.id(e.Path)]
	if e.Type == layer.TypeWhiteout || e.Type == layer.TypeOpaque {
		if old.state&isRemoved == 0 && !t.covered(e.Path) && t.below(e) {
			t.note("%q is to be hidden, and is not", e.Path)
		}
		return nil
	}
	lacks := old.state&(inLayer|inSnapshot) == inLayer && old.state&isRemoved == 0
	if lacks && !(t.unprivileged && old.state&isDevice != 0) {
		t.note("%q is missing", e.Path)
	}
	return nil
}

// covered says whether a path is hidden by what stands in its place or above it.
func (t *twin) covered(name string) bool {
	if e := t.seen[t.id(name)]; e.state&inSnapshot != 0 && e.state&inLayer != 0 {
		return true // a file, or a directory that is opaque if there was one
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		e := t.seen[t.id(dir)]
		if e.state&isOpaque != 0 {
			return true
		}
	}
	return false
}

// below says whether a layer below has what is to be hidden.
func (t *twin) below(e *layer.Entry) bool {
	for _, dir := range t.lowers {
		root, err := os.OpenRoot(dir)
		if err != nil {
			continue
		}
		_, err = root.Lstat(e.Path)
		root.Close()
		if err == nil {
			return true
		}
	}
	return false
}

// sum is of everything that a file is, but for its name.
func (t *twin) sum(e *layer.Entry, content io.Reader) (uint64, error) {
	var h maphash.Hash
	h.SetSeed(t.seed)
	mode := e.Mode
	if e.Type == layer.TypeSymlink {
		mode = 0 // Linux gives every link the same
	}
	for _, n := range []uint64{uint64(e.Type), uint64(mode), uint64(e.UID), uint64(e.GID), uint64(e.Size), uint64(e.ModTime.Unix()), uint64(e.Major), uint64(e.Minor)} {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], n)
		h.Write(b[:])
	}
	h.WriteString(e.Linkname)
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		if t.unprivileged && !strings.HasPrefix(name, "user.") {
			continue
		}
		fmt.Fprintf(&h, "\x00%s=%q", name, e.Xattrs[name])
	}
	if e.Type == layer.TypeFile {
		if _, err := io.Copy(&h, content); err != nil {
			return 0, err
		}
	}
	return h.Sum64(), nil
}
