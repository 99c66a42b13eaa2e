package buildctx

import (
	"encoding/binary"
	"sync"

	"github.com/zeebo/blake3"
)

// Fingerprint stands for all that lstat says of trees. Whoever knows what walks found
// knows that others of the same fingerprint find the same names, types, modes, targets
// of links and contents, without a look into any file. It relies on what the Index
// relies on, and where that is not certain there is none.
//
// It is not safe for concurrent use.
type Fingerprint struct {
	dev    uint64 // of the context
	young  int64  // times from which on files cannot be relied on
	strict bool   // modification times as well
	hash   *blake3.Hasher
	some   bool // anything was walked
	none   bool
}

// NewFingerprint begins a fingerprint that walks of this context are added to. It
// stays without a sum if the context has no Index, or notes its Uses, which need every
// name.
func (c *Context) NewFingerprint() *Fingerprint {
	if c.o.Index == nil || c.o.Uses != nil {
		return &Fingerprint{none: true}
	}
	f := &Fingerprint{dev: c.dev, young: tickTime() - grainOf(c.local), strict: !c.local, hash: blake3.New()}
	f.hash.Write(binary.LittleEndian.AppendUint64(nil, c.dev))
	return f
}

// Note adds a word to the fingerprint. A nil Fingerprint is nobody's.
func (f *Fingerprint) Note(word string) {
	if f != nil && !f.none {
		f.hash.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(word))))
		f.hash.WriteString(word)
	}
}

// Sum is the fingerprint of what was walked and noted, in that order. There is none
// where nothing was walked, where a walk did not come to its end, or where it found a
// socket, which is to be told of each time, a file so young that a change could leave
// its times as they are, or one of another device.
func (f *Fingerprint) Sum() (sum [32]byte, ok bool) {
	if f.none || !f.some {
		return sum, false
	}
	f.hash.Sum(sum[:0])
	return sum, true
}

// Skim is a Walk for o.Fingerprint alone. It ends as soon as there is none, which with
// a distrusted Index is at once: a skim is for those who look for what they know.
func (c *Context) Skim(operand string, o WalkOptions) {
	f := o.Fingerprint
	f.none = f.none || c.o.Index.distrusted
	if f.none {
		return
	}
	w := &walker{c: c, o: o, skim: true, yield: func(_ *Info, err error) bool { return err == nil && !f.none }}
	f.none = !w.walk(operand) || f.none
}

// top adds the entry that a walk begins with.
func (f *Fingerprint) top(e *entry) {
	m := f.marks()
	m.add(e.Path, e)
	f.some = true
	f.add(m.sum())
}

// add adds a directory. Which it is follows from the order: each comes once, after the
// one that names it.
func (f *Fingerprint) add(sum dirSum) {
	if f.none = f.none || sum.none; !f.none {
		f.hash.Write(sum.hash[:])
	}
}

// dirSum stands for what lstat says of the entries of one directory.
type dirSum struct {
	hash [32]byte
	none bool
}

// marks are what a dirSum is made of.
type marks struct {
	f    *Fingerprint // only what is set from the beginning
	none bool
	b    []byte
}

var allMarks = sync.Pool{New: func() any { return new(marks) }}

// marks begins the sum of a directory. It may be called concurrently.
func (f *Fingerprint) marks() *marks {
	m := allMarks.Get().(*marks)
	m.f, m.none, m.b = f, false, m.b[:0]
	return m
}

// add takes what a key may be made of, and of files what stands for their contents.
func (m *marks) add(name string, e *entry) {
	le := binary.LittleEndian
	b := le.AppendUint32(m.b, uint32(len(name)))
	b = append(b, name...)
	b = append(b, byte(e.Type), 0)
	if e.hidden {
		b[len(b)-1] = 1
	}
	b = le.AppendUint32(b, e.Mode)
	switch e.Type {
	case File:
		if e.Dev != m.f.dev || e.CTime >= m.f.young || m.f.strict && e.MTime >= m.f.young {
			m.none = true
		}
		for _, mark := range [...]uint64{e.Ino, uint64(e.Size), uint64(e.MTime), uint64(e.CTime)} {
			b = le.AppendUint64(b, mark)
		}
	case Symlink:
		b = le.AppendUint32(b, uint32(len(e.Linkname)))
		b = append(b, e.Linkname...)
	case Char, Block:
		b = le.AppendUint64(b, e.Rdev)
	case Socket:
		m.none = true
	}
	m.b = b
}

// sum ends the directory; the marks are no longer to be used.
func (m *marks) sum() dirSum {
	s := dirSum{hash: blake3.Sum256(m.b), none: m.none}
	allMarks.Put(m)
	return s
}
