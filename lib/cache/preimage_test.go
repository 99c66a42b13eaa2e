package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample returns a fresh pre-image that has everything in it.
func sample() *Preimage {
	p := &Preimage{}
	p.Add("parent", "sha256:aa")
	p.Add("instruction", "COPY a b /x/")
	p.Add("env:PATH", "/bin")
	p.Add("workdir", "")
	p.AddFiles("files", []File{
		{Path: "a", Type: "file", Mode: 0o644, Hash: Hash{1}},
		{Path: "b", Type: "file", Mode: 0o755, Owner: "1:2", Hash: Hash{2}, Xattrs: Xattrs{"user.a": "\x00\xff", "user.b": "2"}},
		{Path: "c", Type: "symlink", Link: "a"},
	})
	return p
}

func TestEveryChangeChangesTheKey(t *testing.T) {
	changes := map[string]func(p *Preimage){
		"none":          func(p *Preimage) {},
		"value":         func(p *Preimage) { p.Components[0].Value = "sha256:ab" },
		"name":          func(p *Preimage) { p.Components[0].Name = "parents" },
		"empty value":   func(p *Preimage) { p.Components[3].Value = "/" },
		"order":         func(p *Preimage) { p.Components[0], p.Components[1] = p.Components[1], p.Components[0] },
		"added":         func(p *Preimage) { p.Add("user", "") },
		"removed":       func(p *Preimage) { p.Components = p.Components[1:] },
		"file path":     func(p *Preimage) { p.Components[4].Files[0].Path = "aa" },
		"file type":     func(p *Preimage) { p.Components[4].Files[0].Type = "dir" },
		"file mode":     func(p *Preimage) { p.Components[4].Files[0].Mode = 0o755 },
		"file owner":    func(p *Preimage) { p.Components[4].Files[1].Owner = "1:3" },
		"file link":     func(p *Preimage) { p.Components[4].Files[2].Link = "b" },
		"file hash":     func(p *Preimage) { p.Components[4].Files[0].Hash[31] = 1 },
		"xattr value":   func(p *Preimage) { p.Components[4].Files[1].Xattrs["user.b"] = "3" },
		"xattr name":    func(p *Preimage) { p.Components[4].Files[1].Xattrs["user.c"] = "2" },
		"xattr removed": func(p *Preimage) { delete(p.Components[4].Files[1].Xattrs, "user.a") },
		"file removed":  func(p *Preimage) { p.Components[4].Files = p.Components[4].Files[1:] },
		"file order":    func(p *Preimage) { f := p.Components[4].Files; f[0], f[1] = f[1], f[0] },
		"file of its own": func(p *Preimage) {
			f := p.Components[4].Files
			p.AddFiles("files", f[2:])
			p.Components[4].Files = f[:2]
		},
		"split value":      func(p *Preimage) { p.Components[1].Name += "C"; p.Components[1].Value = p.Components[1].Value[1:] },
		"newline in value": func(p *Preimage) { p.Components[1].Value += "\nenv:PATH\n/bin" },
	}
	keys := map[string]string{}
	for name, change := range changes {
		p := sample()
		change(p)
		key := p.Key()
		if other, ok := keys[key]; ok {
			t.Errorf("%q and %q have one key", name, other)
		}
		keys[key] = name
		if again := p.Key(); again != key {
			t.Errorf("%q: a second key", name)
		}
	}
}

// TestBytesBetweenFields moves the border between neighbouring fields through
// one text: every place gives another key.
func TestBytesBetweenFields(t *testing.T) {
	const text = "a:b\x00c\n1\x01\x02de"
	keys := map[string]string{}
	for i := range len(text) + 1 {
		for j := i; j <= len(text); j++ {
			x, y, z := text[:i], text[i:j], text[j:]
			for form, p := range map[string]*Preimage{
				"values": {Components: []Component{{Name: x, Value: y}, {Name: z}}},
				"names":  {Components: []Component{{Name: x}, {Name: y}, {Name: z}}},
				"file":   {Components: []Component{{Files: []File{{Path: x, Type: y, Link: z}}}}},
				"owner":  {Components: []Component{{Files: []File{{Path: x, Owner: y, Link: z, Type: "f"}}}}},
				"xattr":  {Components: []Component{{Files: []File{{Path: x, Xattrs: Xattrs{y: z}}}}}},
				"files":  {Components: []Component{{Files: []File{{Path: x}, {Path: y}, {Path: z}}}}},
			} {
				key := p.Key()
				id := fmt.Sprintf("%s %q %q %q", form, x, y, z)
				if other, ok := keys[key]; ok {
					t.Errorf("%s and %s have one key", id, other)
				}
				keys[key] = id
			}
		}
	}
}

// TestKeyIsStable fails when the encoding changes: then the schema's version
// must change with it.
func TestKeyIsStable(t *testing.T) {
	const want = "blake3:e41316da58f1a9426bfd1d21bedcf9d0e4712bc7ea250231328f7b6eb81a4c12"
	if got := sample().Key(); got != want {
		t.Errorf("the key of the sample is %s, want %s", got, want)
	}
}

func TestPreimageRoundTrips(t *testing.T) {
	p := sample()
	var b bytes.Buffer
	n, err := p.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo: %d of %d, %v", n, b.Len(), err)
	}
	data := b.Bytes()
	got, err := readPreimage(bytes.NewReader(data), p.Key())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Error(diff)
	}
	for i := range data {
		if _, err := readPreimage(bytes.NewReader(data[:i]), p.Key()); err == nil {
			t.Fatalf("cut to %d bytes it is accepted", i)
		}
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if _, err := readPreimage(bytes.NewReader(bad), p.Key()); err == nil {
			t.Fatalf("with byte %d changed it is accepted", i)
		}
	}
	if _, err := readPreimage(bytes.NewReader(append(data, 0)), p.Key()); err == nil {
		t.Error("with data after its end it is accepted")
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q Preimage
	if err := json.Unmarshal(text, &q); err != nil || q.Key() != p.Key() {
		t.Errorf("through JSON: %v, key %s, want %s", err, q.Key(), p.Key())
	}
}

func TestPrefix(t *testing.T) {
	p := sample()
	bare := sample()
	bare.Components = bare.Components[:4]
	if p.prefix() != bare.prefix() {
		t.Error("the prefix depends on whether the files are there")
	}
	p.Components[4].Files = nil
	if p.prefix() != bare.prefix() {
		t.Error("the prefix depends on an empty list")
	}
	bare.Components[1].Value = "COPY a b /y/"
	if p.prefix() == bare.prefix() {
		t.Error("the prefix does not depend on the instruction")
	}
}

func TestComponentDigest(t *testing.T) {
	a, b := sample(), sample()
	b.Components[4].Files[0].Mode = 0o600
	for i := range a.Components {
		if same := a.Components[i].Digest() == b.Components[i].Digest(); same != (i != 4) {
			t.Errorf("component %d: same %v", i, same)
		}
	}
}

func TestCheckKey(t *testing.T) {
	good := sample().Key()
	for _, key := range []string{"", "blake3:", good[:70], good + "0", strings.ToUpper(good), "sha256:" + good[7:], "blake3:" + strings.Repeat("g", 64), "blake3:../" + good[10:]} {
		if _, err := checkKey(key); err == nil {
			t.Errorf("%q is taken for a key", key)
		}
	}
}

func FuzzPreimage(f *testing.F) {
	var b bytes.Buffer
	sample().WriteTo(&b)
	f.Add(b.Bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDecoder(bytes.NewReader(data))
		p := d.preimage()
		if d.err != nil {
			return
		}
		// What can be decoded can be encoded, and decodes to the same.
		var b bytes.Buffer
		p.WriteTo(&b)
		q, err := readPreimage(&b, p.Key())
		if err != nil {
			t.Fatal(err)
		}
		if q.Key() != p.Key() {
			t.Fatal("decoded to something else")
		}
	})
}

func BenchmarkKey(b *testing.B) {
	p := sample()
	files := make([]File, 20000)
	for i := range files {
		files[i] = File{Path: fmt.Sprintf("src/dir%03d/file%05d.txt", i/100, i), Type: "file", Mode: 0o644, Hash: Hash{byte(i), byte(i >> 8)}}
	}
	p.AddFiles("more", files)
	b.Run("20000 files", func(b *testing.B) {
		for b.Loop() {
			p.Key()
		}
	})
	small := sample()
	b.Run("RUN", func(b *testing.B) {
		for b.Loop() {
			small.Key()
		}
	})
}
