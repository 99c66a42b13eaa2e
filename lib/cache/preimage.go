package cache

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/zeebo/blake3"
)

// PreimageSchema names the version of the encoding. It is hashed with
// everything else: a change of the encoding, or of what a layer looks like for
// the same inputs, changes it and thereby every key.
const PreimageSchema = "docksmith.cachekey/1"

// keyPrefix says which hash a key is, as digests do.
const keyPrefix = "blake3:"

// Hash is the BLAKE3 hash of a file's content. The zero Hash means none.
type Hash [32]byte

// MarshalText writes the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, h[:]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("hash %q: want %d hexadecimal digits", text, hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Preimage is everything a step's result depends on. The order of components
// and of files counts: callers keep it fixed.
type Preimage struct {
	Components []Component `json:"components"`
}

// Component is one named part of a pre-image, small enough to be named as the
// reason of a miss: the parent chain, the instruction, one variable, the files.
type Component struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	Files []File `json:"files,omitempty"`
}

// File is one entry that a COPY or ADD brings. Times are never part of a key.
type File struct {
	Path string `json:"path"`
	Type string `json:"type,omitempty"` // file, dir, symlink, ... as in a layer
	Mode uint32 `json:"mode,omitempty"`
	// Owner is "uid:gid" where the source's owner is kept (COPY --from).
	Owner string `json:"owner,omitempty"`
	// Link is the target of a link, or "major:minor" of a device.
	Link   string `json:"link,omitempty"`
	Hash   Hash   `json:"hash,omitzero"`
	Xattrs Xattrs `json:"xattrs,omitempty"`
}

// Xattrs are extended attributes by name. Their values are bytes, in base64
// where a pre-image is written as JSON.
type Xattrs map[string]string

// MarshalJSON writes the values in base64.
func (x Xattrs) MarshalJSON() ([]byte, error) {
	values := make(map[string][]byte, len(x))
	for name, value := range x {
		values[name] = []byte(value)
	}
	return json.Marshal(values)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (x *Xattrs) UnmarshalJSON(data []byte) error {
	var values map[string][]byte
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	*x = Xattrs{}
	for name, value := range values {
		(*x)[name] = string(value)
	}
	return nil
}

// Add appends a component.
func (p *Preimage) Add(name, value string) {
	p.Components = append(p.Components, Component{Name: name, Value: value})
}

// AddFiles appends a component that is a list of files, be it empty.
func (p *Preimage) AddFiles(name string, files []File) {
	if files == nil {
		files = []File{}
	}
	p.Components = append(p.Components, Component{Name: name, Files: files})
}

// Get returns the value of the first component of that name.
func (p *Preimage) Get(name string) string {
	for i := range p.Components {
		if p.Components[i].Name == name {
			return p.Components[i].Value
		}
	}
	return ""
}

// Key is the name under which the step's result is kept: "blake3:" and 64
// hexadecimal digits. Two pre-images have one key only if they are equal.
func (p *Preimage) Key() string { return p.sum(true) }

// prefix is the key of the pre-image without its files: all that is known
// before any file was read. Components without a value are left out, so that it
// makes no difference whether the list of files is there yet.
func (p *Preimage) prefix() string { return p.sum(false) }

func (p *Preimage) hasFiles() bool {
	return slices.ContainsFunc(p.Components, func(c Component) bool { return c.Files != nil })
}

func (p *Preimage) sum(files bool) string {
	return hashOf(func(e *encoder) { e.preimage(p, files) })
}

// Digest is the hash of one component alone, by which a history can tell that
// the component changed without keeping its value.
func (c *Component) Digest() string {
	return hashOf(func(e *encoder) { e.component(c, true) })
}

// hashOf hashes what encode writes, in the form of a key.
func hashOf(encode func(*encoder)) string {
	e := hashing.Get().(*encoder)
	defer hashing.Put(e)
	h := e.w.(*blake3.Hasher)
	h.Reset()
	encode(e)
	_ = e.flush() // a hash takes everything
	return keyPrefix + hex.EncodeToString(h.Sum(nil))
}

// hashing has encoders into a hash.
var hashing = sync.Pool{New: func() any { return &encoder{w: blake3.New()} }}

// size estimates the length of the encoding.
func (p *Preimage) size() int {
	n := 0
	for i := range p.Components {
		c := &p.Components[i]
		n += len(c.Name) + len(c.Value)
		for j := range c.Files {
			n += 48 + len(c.Files[j].Path) + len(c.Files[j].Link)
		}
	}
	return n
}

// WriteTo writes the encoding whose BLAKE3 hash is the key.
func (p *Preimage) WriteTo(w io.Writer) (int64, error) {
	e := encoder{w: w}
	e.preimage(p, true)
	err := e.flush()
	return e.n, err
}

// encoder writes numbers as uvarint and every string after its length, so that
// no byte can move from one field to the next unnoticed. What is not written yet
// is in b: appended to, it is cheaper than a bufio.Writer of so small pieces.
type encoder struct {
	w   io.Writer
	b   []byte
	n   int64 // bytes written
	err error
}

func (e *encoder) number(v uint64) { e.b = binary.AppendUvarint(e.b, v) }

func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	e.b = append(e.b, s...)
}

// flush writes b, and gives the first error there was.
func (e *encoder) flush() error {
	if e.err == nil {
		var n int
		n, e.err = e.w.Write(e.b)
		e.n += int64(n)
	}
	e.b = e.b[:0]
	return e.err
}

// flushAt is the size of b at which it is written.
const flushAt = 16 << 10

func (e *encoder) preimage(p *Preimage, files bool) {
	e.text(PreimageSchema)
	count := len(p.Components)
	for i := range p.Components {
		if !files && p.Components[i].Value == "" {
			count--
		}
	}
	e.number(uint64(count))
	for i := range p.Components {
		if files || p.Components[i].Value != "" {
			e.component(&p.Components[i], files)
		}
	}
}

func (e *encoder) component(c *Component, files bool) {
	e.text(c.Name)
	e.text(c.Value)
	if !files {
		e.number(0)
		return
	}
	e.number(uint64(len(c.Files)))
	for i := range c.Files {
		e.file(&c.Files[i])
	}
}

func (e *encoder) file(f *File) {
	e.text(f.Path)
	e.text(f.Type)
	e.number(uint64(f.Mode))
	e.text(f.Owner)
	e.text(f.Link)
	e.b = append(e.b, f.Hash[:]...) // a fixed length needs no other
	e.number(uint64(len(f.Xattrs)))
	if len(f.Xattrs) > 0 { // most have none, and a list of no names has to be made, too
		for _, name := range slices.Sorted(maps.Keys(f.Xattrs)) {
			e.text(name)
			e.text(f.Xattrs[name])
		}
	}
	if len(e.b) >= flushAt {
		_ = e.flush() // the error stays
	}
}

// checkKey returns the hexadecimal part of a key, which names its files.
func checkKey(key string) (string, error) {
	digits, ok := strings.CutPrefix(key, keyPrefix)
	if !ok || len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("key %q: want %s and 64 hexadecimal digits", key, keyPrefix)
	}
	return digits, nil
}
