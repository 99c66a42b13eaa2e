package archive

import (
	stdtar "archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"docksmith/lib/oci"
)

func tarOf(t *testing.T, members ...stdtar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := stdtar.NewWriter(&b)
	for _, h := range members {
		content := ""
		if h.Typeflag == stdtar.TypeReg {
			content = h.Linkname
			h.Linkname, h.Size = "", int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func reg(name, content string) stdtar.Header {
	return stdtar.Header{Typeflag: stdtar.TypeReg, Name: name, Linkname: content}
}

func open(t *testing.T, content []byte, o Options) (Files, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return Open(t.Context(), name, o)
}

func content(t *testing.T, from Files, name string) string {
	t.Helper()
	r, size, err := from.Open(name)
	if err != nil {
		return "error: " + err.Error()
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != size {
		t.Errorf("%s: %d of %d bytes, %v", name, len(b), size, err)
	}
	return string(b)
}

// TestFiles: a tar, the same compressed, and a directory give the same.
func TestFiles(t *testing.T) {
	plain := tarOf(t,
		stdtar.Header{Typeflag: stdtar.TypeDir, Name: "./d/"}, reg("./d/f", "in d"), reg("g", "at the top"),
		stdtar.Header{Typeflag: stdtar.TypeSymlink, Name: "d/sym", Linkname: "../g"},
		stdtar.Header{Typeflag: stdtar.TypeLink, Name: "hard", Linkname: "d/sym"},
		stdtar.Header{Typeflag: stdtar.TypeSymlink, Name: "self", Linkname: "self"},
		stdtar.Header{Typeflag: stdtar.TypeSymlink, Name: "out", Linkname: "../../../../../../etc/passwd"},
	)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(plain)
	z.Close()
	dir := t.TempDir()
	err := errors.Join(os.Mkdir(filepath.Join(dir, "d"), 0o700), os.WriteFile(filepath.Join(dir, "d/f"), []byte("in d"), 0o600), os.WriteFile(filepath.Join(dir, "g"), []byte("at the top"), 0o600),
		os.Symlink("../g", filepath.Join(dir, "d/sym")), os.Link(filepath.Join(dir, "g"), filepath.Join(dir, "hard")), os.Symlink("self", filepath.Join(dir, "self")),
		os.Symlink("../../../../../../etc/passwd", filepath.Join(dir, "out")))
	if err != nil {
		t.Fatal(err)
	}
	fromDir, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Files{"directory": fromDir}
	for name, b := range map[string][]byte{"tar": plain, "tar.gz": packed.Bytes()} {
		for _, strict := range []bool{false, true} {
			if all[name+map[bool]string{true: ", strict"}[strict]], err = open(t, b, Options{Strict: strict}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for kind, from := range all {
		for name, want := range map[string]string{"d/f": "in d", "./g": "at the top", "d/sym": "at the top", "hard": "at the top"} {
			if got := content(t, from, name); got != want {
				t.Errorf("%s: %s is %q", kind, name, got)
			}
		}
		for _, name := range []string{"none", "self", "out", "d", "../g"} {
			if _, _, err := from.Open(name); err == nil {
				t.Errorf("%s: %s was opened", kind, name)
			}
		}
		if doc, err := Document(from, "none"); doc != nil || err != nil {
			t.Errorf("%s: a document that is not there: %q, %v", kind, doc, err)
		}
		names, err := from.Names()
		if slices.Sort(names); err != nil || !slices.Contains(names, "d/f") || slices.Contains(names, "d") {
			t.Errorf("%s: %q, %v", kind, names, err)
		}
		if err := from.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDocumentIsBounded(t *testing.T) {
	from, err := open(t, tarOf(t, reg("empty", ""), reg("long", strings.Repeat("x", oci.MaxDocument+1))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if doc, err := Document(from, "empty"); doc == nil || len(doc) != 0 || err != nil {
		t.Errorf("an empty document: %v, %v", doc, err)
	}
	if _, err := Document(from, "long"); err == nil {
		t.Error("a document that is too long was read")
	}
}

func TestRefused(t *testing.T) {
	good := tarOf(t, reg("f", "x"))
	behind := append(slices.Clone(good), make([]byte, 512)...)
	behind[len(behind)-1] = 1
	padding := slices.Clone(good)
	padding[2*512-1] = 1
	for name, c := range map[string]struct {
		tar    []byte
		strict bool // it takes a strict look to see it
	}{
		"twice":            {tarOf(t, reg("f", "x"), reg("./f", "y")), false},
		"file and link":    {tarOf(t, reg("f", "x"), stdtar.Header{Typeflag: stdtar.TypeSymlink, Name: "f", Linkname: "g"}), false},
		"cut in a header":  {good[:100], false},
		"without its end":  {good[:1024], true},
		"something behind": {behind, true},
		"something filled": {padding, true},
	} {
		for _, strict := range []bool{false, true} {
			from, err := open(t, c.tar, Options{Strict: strict})
			if refused := err != nil; refused != (strict || !c.strict) {
				t.Errorf("%s, strict %v: %v", name, strict, err)
			}
			if err == nil {
				from.Close()
			}
		}
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	name := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(name, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, name, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
