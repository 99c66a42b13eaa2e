package tests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// fileTree is the merged root of an image, as its layers' tars say. It is read
// with nothing of ours, so that it can judge what we wrote.
type fileTree map[string]*fileNode

// fileNode is a file; further names of it point to the same node.
type fileNode struct {
	header  tar.Header
	content []byte
}

// apply puts a layer, plain or gzip, on top of the tree.
func (t fileTree) apply(layer io.Reader) error {
	head := make([]byte, 2)
	n, err := io.ReadFull(layer, head)
	if err != nil {
		return err
	}
	layer = io.MultiReader(bytes.NewReader(head[:n]), layer)
	if bytes.Equal(head, []byte{0x1f, 0x8b}) {
		if layer, err = gzip.NewReader(layer); err != nil {
			return err
		}
	}
	added := fileTree{}
	var gone, opaque []string
	for r := tar.NewReader(layer); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		p := path.Clean("/" + h.Name)
		dir, name := path.Split(p)
		switch {
		case name == ".wh..wh..opq":
			opaque = append(opaque, path.Clean(dir))
		case strings.HasPrefix(name, ".wh."):
			gone = append(gone, dir+name[len(".wh."):])
		default:
			if err := added.add(p, h, r, t); err != nil {
				return err
			}
		}
	}
	for _, p := range gone {
		t.remove(p, true)
	}
	for _, p := range opaque {
		t.remove(p, false)
	}
	for p, n := range added {
		if old := t[p]; old != nil && n.header.Typeflag != tar.TypeDir {
			t.remove(p, true)
		}
		t[p] = n
	}
	return nil
}

func (t fileTree) add(p string, h *tar.Header, content io.Reader, below fileTree) error {
	if h.Typeflag == tar.TypeLink {
		target := path.Clean("/" + h.Linkname)
		n := t[target]
		if n == nil {
			n = below[target]
		}
		if n == nil {
			return fmt.Errorf("hard link %s to %s, which is not there", p, target)
		}
		t[p] = n
		return nil
	}
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	t[p] = &fileNode{*h, data}
	return nil
}

func (t fileTree) remove(p string, itself bool) {
	if itself {
		delete(t, p)
	}
	for q := range t {
		if q != "/" && strings.HasPrefix(q, strings.TrimSuffix(p, "/")+"/") {
			delete(t, q)
		}
	}
}

// lines are what the tree has other than base, one line for each path, in the
// form of a case's @tree.
func (t fileTree) lines(base fileTree) []string {
	now, before := t.allLines(), base.allLines()
	delete(now, "/") // its mode and owner are not the same in any two builders
	delete(before, "/")
	var out []string
	for p, line := range now {
		if line != before[p] {
			out = append(out, line)
		}
	}
	for p := range before {
		if _, ok := now[p]; !ok {
			out = append(out, "-"+pathText(p))
		}
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(treePath(a), treePath(b)) })
	return out
}

func (t fileTree) allLines() map[string]string {
	first := map[*fileNode]string{}
	out := map[string]string{}
	for _, p := range slices.Sorted(maps.Keys(t)) {
		out[p] = t.line(p, first)
		if _, ok := first[t[p]]; !ok {
			first[t[p]] = p
		}
	}
	return out
}

// line describes p; first has the earlier name of files with several.
func (t fileTree) line(p string, first map[*fileNode]string) string {
	n := t[p]
	h := &n.header
	if name, ok := first[n]; ok {
		return pathText(p) + " = " + pathText(name)
	}
	words := []string{pathText(p)}
	usual := int64(0o644)
	switch h.Typeflag {
	case tar.TypeDir:
		words[0], usual = words[0]+"/", 0o755
	case tar.TypeSymlink:
		usual = h.Mode
	}
	if h.Mode&0o7777 != usual&0o7777 {
		words = append(words, fmt.Sprintf("%04o", h.Mode&0o7777))
	}
	if h.Uid != 0 || h.Gid != 0 {
		words = append(words, fmt.Sprintf("%d:%d", h.Uid, h.Gid))
	}
	switch h.Typeflag {
	case tar.TypeReg:
		words = append(words, shortContent(n.content))
	case tar.TypeSymlink:
		words = append(words, "->", h.Linkname)
	case tar.TypeFifo:
		words = append(words, "fifo")
	case tar.TypeChar, tar.TypeBlock:
		words = append(words, fmt.Sprintf("%c %d:%d", h.Typeflag, h.Devmajor, h.Devminor))
	}
	for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			words = append(words, name+"="+strconv.Quote(h.PAXRecords[k]))
		}
	}
	return strings.Join(words, " ")
}

// shortContent is a text as Go writes it, or the size and hash of a longer one.
func shortContent(data []byte) string {
	if len(data) <= 200 && utf8.Valid(data) {
		return strconv.Quote(string(data))
	}
	return fmt.Sprintf("%d bytes, sha256 %.6x", len(data), sha256.Sum256(data))
}

// pathText is a path without blanks and other characters that are hard to see.
func pathText(p string) string {
	var b strings.Builder
	for i := range len(p) {
		if c := p[i]; c <= ' ' || c == '\\' || c >= 0x7f {
			fmt.Fprintf(&b, "\\x%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// treePath is the path that a line of a tree is about.
func treePath(line string) string {
	p, _, _ := strings.Cut(strings.TrimPrefix(line, "-"), " ")
	return strings.TrimSuffix(p, "/")
}

func treePaths(lines []string) []string {
	var paths []string
	for _, line := range lines {
		paths = append(paths, treePath(line))
	}
	return paths
}

// usualConfig is what images have without any instruction.
var usualConfig = map[string]string{
	"Env":        `["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]`,
	"WorkingDir": `"/"`,
}

// configMembers are those that a Dockerfile can set.
var configMembers = []string{"Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell", "StopSignal", "User", "Volumes", "WorkingDir"}

// configLines are the members of an image's config that are not as usual, in
// the form of a case's @config.
func configLines(document []byte) ([]string, error) {
	var image struct {
		Author string
		Config map[string]json.RawMessage
	}
	if err := json.Unmarshal(document, &image); err != nil {
		return nil, err
	}
	var out []string
	if image.Author != "" {
		out = append(out, "Author "+strconv.Quote(image.Author))
	}
	for _, member := range configMembers {
		var value any
		if raw, ok := image.Config[member]; ok {
			if err := json.Unmarshal(raw, &value); err != nil {
				return nil, err
			}
		}
		if isEmpty(value) {
			continue
		}
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		if err := e.Encode(value); err != nil {
			return nil, err
		}
		if s := strings.TrimSpace(text.String()); s != usualConfig[member] {
			out = append(out, member+" "+s)
		}
	}
	return out, nil
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
