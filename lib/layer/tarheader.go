package layer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fields of a ustar header block: offset and length.
const (
	nameLen   = 100
	prefixLen = 155
	maxPAX    = 1 << 20 // readers refuse longer extended headers
)

const xattrRecord = "SCHILY.xattr."

var typeFlags = [...]byte{
	TypeFile: '0', TypeDir: '5', TypeSymlink: '2', TypeLink: '1', TypeChar: '3',
	TypeBlock: '4', TypeFifo: '6', TypeWhiteout: '0', TypeOpaque: '0',
}

// encode writes the blocks before e's content: a ustar header, and before it an
// extended one when a value does not fit. The choices are those of archive/tar:
// a long name is split over the prefix field if that is all that is needed.
func (t *Writer) encode(e *Entry) error {
	if int(e.Type) >= len(typeFlags) {
		return fmt.Errorf("unknown entry type %d", e.Type)
	}
	if err := t.setName(e); err != nil {
		return err
	}
	size, linkname := int64(0), ""
	switch e.Type {
	case TypeFile:
		size = e.Size
	case TypeSymlink, TypeLink:
		linkname = e.Linkname
	}
	if size < 0 || strings.IndexByte(linkname, 0) >= 0 {
		return errors.New("negative size, or NUL in a link name")
	}
	if e.Major >= 1<<21 || e.Minor >= 1<<21 || e.Mode >= 1<<21 {
		return errors.New("device number or mode too large for a tar")
	}
	prefix := 0
	simple := len(e.Xattrs) == 0 && len(linkname) <= nameLen && isASCII(linkname) &&
		fitsOctal(8, int64(e.UID)) && fitsOctal(8, int64(e.GID)) && fitsOctal(12, size) && fitsOctal(12, e.seconds())
	if simple {
		prefix, simple = splitName(t.name)
	}
	if !simple {
		prefix = 0
		if err := t.writePAX(e, linkname, size); err != nil {
			return err
		}
	}
	return t.writeMain(e, linkname, size, prefix)
}

// setName puts the name of e in the tar into t.name.
func (t *Writer) setName(e *Entry) error {
	if e.Path == "" || e.Path[0] == '/' || strings.IndexByte(e.Path, 0) >= 0 {
		return errors.New("not a clean relative path")
	}
	t.name = t.name[:0]
	switch e.Type {
	case TypeDir:
		t.name = append(append(t.name, e.Path...), '/')
	case TypeOpaque:
		if e.Path != "." {
			t.name = append(append(t.name, e.Path...), '/')
		}
		t.name = append(t.name, OpaqueName...)
	case TypeWhiteout:
		if e.Path == "." {
			return errors.New("whiteout of the root")
		}
		dir, base := splitPath(e.Path)
		if dir != "" {
			t.name = append(append(t.name, dir...), '/')
		}
		t.name = append(append(t.name, WhiteoutPrefix...), base...)
	default:
		if e.Path == "." {
			return errors.New("the root is not a directory")
		}
		t.name = append(t.name, e.Path...)
	}
	return nil
}

// seconds is the time of e as a tar holds it; the zero Time means the epoch.
func (e *Entry) seconds() int64 {
	if e.ModTime.IsZero() {
		return 0
	}
	return e.ModTime.Unix()
}

// splitName tells where name divides into the prefix and name fields; 0 means
// that it needs no prefix. Not ok: it fits neither way.
func splitName(name []byte) (prefix int, ok bool) {
	if !isASCII(name) {
		return 0, false
	}
	if len(name) <= nameLen {
		return 0, true
	}
	n := len(name)
	if n > prefixLen+1 {
		n = prefixLen + 1
	} else if name[n-1] == '/' {
		n--
	}
	i := bytes.LastIndexByte(name[:n], '/')
	rest := len(name) - i - 1
	if i <= 0 || rest > nameLen || rest == 0 || i > prefixLen {
		return 0, false
	}
	return i, true
}

// writePAX writes the extended header with one record per value that the main one cannot hold.
func (t *Writer) writePAX(e *Entry, linkname string, size int64) error {
	b := t.pax[:0]
	if len(e.Xattrs) > 0 {
		keys := make([]string, 0, len(e.Xattrs))
		for k := range e.Xattrs {
			if k == "" || strings.ContainsAny(k, "=\x00") {
				return fmt.Errorf("extended attribute %q cannot be written to a tar", k)
			}
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			b = appendRecord(b, xattrRecord, k, e.Xattrs[k])
		}
	}
	// The keys are in byte order, upper case first.
	if !fitsOctal(8, int64(e.GID)) {
		b = appendRecord(b, "", "gid", strconv.FormatUint(uint64(e.GID), 10))
	}
	if len(linkname) > nameLen || !isASCII(linkname) {
		b = appendRecord(b, "", "linkpath", linkname)
	}
	if sec := e.seconds(); !fitsOctal(12, sec) {
		b = appendRecord(b, "", "mtime", strconv.FormatInt(sec, 10))
	}
	if len(t.name) > nameLen || !isASCII(t.name) {
		b = appendRecord(b, "", "path", string(t.name))
	}
	if !fitsOctal(12, size) {
		b = appendRecord(b, "", "size", strconv.FormatInt(size, 10))
	}
	if !fitsOctal(8, int64(e.UID)) {
		b = appendRecord(b, "", "uid", strconv.FormatUint(uint64(e.UID), 10))
	}
	t.pax = b
	if len(b) > maxPAX {
		return errors.New("extended header larger than 1 MiB")
	}
	h, err := t.block()
	if err != nil {
		return err
	}
	putString(h[0:nameLen], t.paxName())
	putOctal(h[100:108], 0)
	putOctal(h[108:116], 0)
	putOctal(h[116:124], 0)
	putOctal(h[124:136], int64(len(b)))
	putOctal(h[136:148], 0)
	h[156] = 'x'
	finish(h)
	if _, err := t.write(b); err != nil {
		return err
	}
	return t.zeros(-len(b) & (blockSize - 1))
}

// paxName names the extended header DIR/PaxHeaders.0/NAME, as others do.
func (t *Writer) paxName() string {
	name := string(t.name)
	i := strings.LastIndexByte(name, '/') + 1
	dir := name[:i]
	if dir == "./" {
		dir = ""
	}
	name = strings.TrimSuffix(dir+"PaxHeaders.0/"+name[i:], "/")
	name = toASCII(name)
	if len(name) > nameLen {
		name = name[:nameLen]
	}
	return strings.TrimRight(name, "/")
}

func (t *Writer) writeMain(e *Entry, linkname string, size int64, prefix int) error {
	h, err := t.block()
	if err != nil {
		return err
	}
	name := t.name
	if prefix > 0 {
		copy(h[345:345+prefixLen], name[:prefix])
		name = name[prefix+1:]
	}
	putName(h[0:nameLen], name)
	putOctal(h[100:108], int64(e.Mode))
	putOctal(h[108:116], int64(e.UID))
	putOctal(h[116:124], int64(e.GID))
	putOctal(h[124:136], size)
	putOctal(h[136:148], e.seconds())
	h[156] = typeFlags[e.Type]
	if linkname != "" {
		putString(h[157:157+nameLen], linkname)
	}
	if e.Type == TypeChar || e.Type == TypeBlock {
		putOctal(h[329:337], int64(e.Major))
		putOctal(h[337:345], int64(e.Minor))
	} else {
		putOctal(h[329:337], 0)
		putOctal(h[337:345], 0)
	}
	finish(h)
	return nil
}

// finish adds magic and checksum.
func finish(h []byte) {
	copy(h[257:], "ustar\x0000")
	sum := int64(8 * ' ')
	for _, c := range h {
		sum += int64(c)
	}
	putOctal(h[148:155], sum)
	h[155] = ' '
}

// putName is putString for bytes, without garbage in the plain case.
func putName(field, name []byte) {
	if isASCII(name) && len(name) <= len(field) {
		copy(field, name)
		return
	}
	putString(field, string(name))
}

// putString writes what of s is ASCII and fits. A cut must not leave a slash at
// the end: some readers would take the entry for a directory.
func putString(field []byte, s string) {
	s = toASCII(s)
	n := copy(field, s)
	if len(s) > n && field[n-1] == '/' {
		k := len(strings.TrimRight(s[:n-1], "/"))
		field[k] = 0
	}
}

// putOctal fills a field with zero-padded digits and a NUL; what does not fit is
// written as 0, its value being in the extended header.
func putOctal(field []byte, v int64) {
	if !fitsOctal(len(field), v) {
		v = 0
	}
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = '0' + byte(v&7)
		v >>= 3
	}
	field[len(field)-1] = 0
}

func fitsOctal(n int, v int64) bool { return v >= 0 && v < 1<<(3*uint(n-1)) }

// appendRecord appends "LENGTH PREFIXkey=value\n"; the length counts itself.
func appendRecord(b []byte, prefix, key, value string) []byte {
	size := len(prefix) + len(key) + len(value) + 3
	n := size + digits(size)
	if digits(n) != digits(size) {
		n++
	}
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, ' ')
	b = append(append(b, prefix...), key...)
	b = append(append(b, '='), value...)
	return append(b, '\n')
}

func digits(n int) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= 0x80 || s[i] == 0 {
			return false
		}
	}
	return true
}

func toASCII(s string) string {
	if isASCII(s) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] < 0x80 && s[i] != 0 {
			b = append(b, s[i])
		}
	}
	return string(b)
}
