package layer

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"docksmith/lib/rootfs"
)

// paxHeader is what the records of one extended header say.
type paxHeader struct {
	path, linkpath *string
	size, uid, gid *int64
	mtime          *[2]int64
	xattrs         map[string]string
	sparse         map[string]string // GNU.sparse.*, without the prefix
}

const sparseRecord = "GNU.sparse."

// readPAX reads the records of an 'x' member. Two such members before one file
// are refused: some readers merge them, some take the last.
func (r *Reader) readPAX(m *member, to **paxHeader) error {
	if *to != nil {
		return fmt.Errorf("%w: two extended headers for one member", ErrTar)
	}
	h := &paxHeader{}
	*to = h
	return r.records(m, h.set)
}

// readGlobal reads a 'g' member. One that would change the entries after it is
// refused, because half of the readers ignore it; the rest are comments.
func (r *Reader) readGlobal(m *member) error {
	return r.records(m, func(key, value string) error {
		h := paxHeader{}
		if err := h.set(key, value); err != nil {
			return err
		}
		if h.path != nil || h.linkpath != nil || h.size != nil || h.uid != nil || h.gid != nil ||
			h.mtime != nil || h.xattrs != nil || h.sparse != nil {
			return fmt.Errorf("%w: global header sets %q", ErrTar, key)
		}
		return nil
	})
}

// records reads records "LENGTH KEY=VALUE\n". A key with two values is refused:
// which one counts depends on the reader.
func (r *Reader) records(m *member, set func(key, value string) error) error {
	if m.size > maxPAX {
		return fmt.Errorf("%w: extended header of %d bytes", ErrTar, m.size)
	}
	b, err := r.src.bytes(m.size)
	if err != nil {
		return err
	}
	seen := map[string]string{}
	for len(b) > 0 {
		key, value, rest, err := record(b)
		if err != nil {
			return err
		}
		b = rest
		old, dup := seen[key]
		if dup && old != value {
			return fmt.Errorf("%w: two values of %q", ErrTar, key)
		}
		seen[key] = value
		if dup {
			continue
		}
		if err := set(key, value); err != nil {
			return err
		}
	}
	return nil
}

// record takes one record off b.
func record(b []byte) (key, value string, rest []byte, err error) {
	bad := fmt.Errorf("%w: bad record in an extended header", ErrTar)
	digits, _, ok := bytes.Cut(b[:min(len(b), 9)], []byte{' '})
	if !ok || len(digits) == 0 || digits[0] == '0' || !isDigits(string(digits)) {
		return "", "", nil, bad
	}
	n, err := strconv.Atoi(string(digits))
	if err != nil || n > len(b) || n < len(digits)+4 || b[n-1] != '\n' {
		return "", "", nil, bad
	}
	key, value, ok = strings.Cut(string(b[len(digits)+1:n-1]), "=")
	if !ok || key == "" || strings.IndexByte(key, 0) >= 0 {
		return "", "", nil, bad
	}
	return key, value, b[n:], nil
}

// set takes one record in. Keys that say nothing about what we keep are ignored.
func (h *paxHeader) set(key, value string) (err error) {
	switch key {
	case "path":
		h.path, err = &value, checkText(key, value)
	case "linkpath":
		h.linkpath, err = &value, checkText(key, value)
	case "size":
		h.size, err = decimal(key, value, 1<<62)
	case "uid":
		h.uid, err = decimal(key, value, rootfs.MaxID)
	case "gid":
		h.gid, err = decimal(key, value, rootfs.MaxID)
	case "mtime":
		h.mtime, err = paxTime(value)
	case "hdrcharset":
		if value != "BINARY" && value != "ISO-IR 10646 2000 UTF-8" {
			err = fmt.Errorf("%w: unknown character set %q", ErrTar, value)
		}
	default:
		if name, ok := strings.CutPrefix(key, xattrRecord); ok && name != "" {
			if h.xattrs == nil {
				h.xattrs = map[string]string{}
			}
			h.xattrs[name] = value
		} else if name, ok := strings.CutPrefix(key, sparseRecord); ok {
			if h.sparse == nil {
				h.sparse = map[string]string{}
			}
			h.sparse[name] = value
		}
	}
	return err
}

// applyTo lets the records override the header.
func (h *paxHeader) applyTo(m *member) error {
	m.pax, m.xattrs = h, h.xattrs
	if h.path != nil {
		m.name = *h.path
	}
	if name, ok := h.sparse["name"]; ok { // the header has an invented one
		if err := checkText("GNU.sparse.name", name); err != nil {
			return err
		}
		m.name = name
	}
	if h.sparse != nil && m.flag != 0 && m.flag != '0' && m.flag != '7' {
		return fmt.Errorf("%w: %q is sparse and no file", ErrTar, m.name)
	}
	if h.linkpath != nil {
		m.linkname = *h.linkpath
	}
	if h.uid != nil {
		m.uid = uint32(*h.uid)
	}
	if h.gid != nil {
		m.gid = uint32(*h.gid)
	}
	if h.mtime != nil {
		m.sec, m.nsec = h.mtime[0], h.mtime[1]
	}
	if h.size == nil {
		return nil
	}
	// A reader that does not know the record takes the header's size, and finds the
	// next header elsewhere. They may differ only where the field cannot hold the size.
	const maxOctal = 1<<33 - 1
	if *h.size != m.size && (*h.size <= maxOctal || m.size != 0 && m.size != maxOctal) {
		return fmt.Errorf("%w: %q has two sizes, %d and %d", ErrTar, m.name, *h.size, m.size)
	}
	m.size = *h.size
	return nil
}

// checkText refuses an empty text, which resets the value for some readers only.
func checkText(key, value string) error {
	if value == "" || strings.IndexByte(value, 0) >= 0 {
		return fmt.Errorf("%w: %s is %q", ErrTar, key, value)
	}
	return nil
}

func decimal(key, value string, limit int64) (*int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > limit || !isDigits(value) {
		return nil, fmt.Errorf("%w: %s is %q", ErrTar, key, value)
	}
	return &n, nil
}

// paxTime reads seconds with a fraction; negative ones are before 1970.
func paxTime(value string) (*[2]int64, error) {
	whole, frac, dot := strings.Cut(value, ".")
	sec, err := strconv.ParseInt(whole, 10, 62)
	if err != nil || !isDigits(strings.TrimPrefix(whole, "-")) || dot && frac != "" && !isDigits(frac) {
		return nil, fmt.Errorf("%w: mtime is %q", ErrTar, value)
	}
	nsec, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	if whole[0] == '-' && nsec > 0 {
		sec, nsec = sec-1, 1e9-nsec
	}
	return &[2]int64{sec, nsec}, nil
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
