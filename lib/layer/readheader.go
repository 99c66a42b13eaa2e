package layer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"docksmith/lib/rootfs"
)

// member is a tar header with its extended headers applied, before it is an Entry.
type member struct {
	flag           byte
	name, linkname string
	mode, uid, gid uint32
	size           int64 // of the content in the tar
	sec, nsec      int64
	major, minor   uint32
	xattrs         map[string]string
	gnuSparse      []byte // the block of an old GNU sparse header
	pax            *paxHeader
}

func (m *member) modTime() time.Time { return time.Unix(m.sec, m.nsec) }

// member reads the next member's headers; nil at the end mark.
func (r *Reader) member() (*member, error) {
	var pax *paxHeader
	var long, longLink *string
	for {
		h, err := r.src.next()
		if err == io.EOF {
			return nil, fmt.Errorf("%w: no end-of-archive mark", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, err
		}
		pending := pax != nil || long != nil || longLink != nil
		if isZero(h) {
			if pending {
				return nil, fmt.Errorf("%w: the archive ends after an extended header", ErrTar)
			}
			return nil, r.endMark()
		}
		m, err := parseHeader(h)
		if err != nil {
			return nil, err
		}
		switch m.flag {
		case 'x':
			err = r.readPAX(m, &pax)
		case 'g':
			err = r.readGlobal(m)
		case 'L':
			err = r.readLong(m, &long)
		case 'K':
			err = r.readLong(m, &longLink)
		default:
			return m, m.extend(pax, long, longLink)
		}
		if err == nil && m.flag == 'g' && pending {
			err = fmt.Errorf("%w: global header after an extended header", ErrTar)
		}
		if err != nil {
			return nil, err
		}
	}
}

// endMark is called after one zero block. A second one is due; an input that
// ends here instead is taken too, as others take it.
func (r *Reader) endMark() error {
	h, err := r.src.next()
	if err == io.EOF {
		return nil
	}
	if err == nil && !isZero(h) {
		err = fmt.Errorf("%w: a lone zero block", ErrTar)
	}
	return err
}

// readLong reads the name in a GNU long name or long link member.
func (r *Reader) readLong(m *member, to **string) error {
	if *to != nil {
		return fmt.Errorf("%w: two long names for one member", ErrTar)
	}
	if m.size > 16*maxName {
		return fmt.Errorf("%w: long name of %d bytes", ErrTar, m.size)
	}
	b, err := r.src.bytes(m.size)
	if err != nil {
		return err
	}
	name, rest, _ := bytes.Cut(b, []byte{0})
	if !isZero(rest) {
		return fmt.Errorf("%w: bytes after the NUL of a long name", ErrTar)
	}
	s := string(name)
	*to = &s
	return nil
}

// extend applies what came before the main header to it.
func (m *member) extend(pax *paxHeader, long, longLink *string) error {
	if pax != nil {
		if err := pax.applyTo(m); err != nil {
			return err
		}
		if long != nil && pax.path != nil && *pax.path != *long || longLink != nil && pax.linkpath != nil && *pax.linkpath != *longLink {
			return fmt.Errorf("%w: %q has two names", ErrTar, m.name)
		}
	}
	if long != nil {
		m.name = *long
	}
	if longLink != nil {
		m.linkname = *longLink
	}
	return nil
}

// setType translates the type flag. ignore: a member that is no file, such as a label.
func (m *member) setType(e *Entry) (ignore bool, err error) {
	slash := strings.HasSuffix(m.name, "/")
	switch m.flag {
	case 0, '0', '7', 'S':
		if m.flag == 0 && slash && m.pax == nil { // how directories were before ustar
			e.Type = TypeDir
		} else if slash {
			return false, fmt.Errorf("%w: file %q has the name of a directory", ErrTar, m.name)
		}
	case '1':
		e.Type = TypeLink
	case '2':
		e.Type = TypeSymlink
	case '3':
		e.Type = TypeChar
	case '4':
		e.Type = TypeBlock
	case '5':
		e.Type = TypeDir
	case '6':
		e.Type = TypeFifo
	case 'V':
		return true, nil
	default:
		return false, fmt.Errorf("%w: %q is of unknown type %q", ErrTar, m.name, m.flag)
	}
	if e.Type != TypeFile && m.size != 0 {
		return false, fmt.Errorf("%w: %v %q has a size", ErrTar, e.Type, m.name)
	}
	if (e.Type == TypeSymlink || e.Type == TypeLink) && (m.linkname == "" || strings.IndexByte(m.linkname, 0) >= 0) {
		return false, fmt.Errorf("%w: link %q leads to %q", ErrTar, m.name, m.linkname)
	}
	if e.Type != TypeSymlink && e.Type != TypeLink {
		e.Linkname = ""
	}
	if e.Type != TypeChar && e.Type != TypeBlock {
		e.Major, e.Minor = 0, 0
	}
	return false, nil
}

// parseHeader reads the fields of one header block.
func parseHeader(h []byte) (*member, error) {
	if err := checkSum(h); err != nil {
		return nil, err
	}
	m := &member{flag: h[156], name: cString(h[:100]), linkname: cString(h[157:257])}
	magic := string(h[257:265])
	ustar := strings.HasPrefix(magic, "ustar\x00")
	gnu := magic == "ustar  \x00"
	var errs [6]error
	var mode, uid, gid, major, minor int64
	mode, errs[0] = number(h[100:108])
	uid, errs[1] = number(h[108:116])
	gid, errs[2] = number(h[116:124])
	m.size, errs[3] = number(h[124:136])
	if m.sec, errs[4] = number(h[136:148]); errs[4] == errNegative {
		errs[4] = nil
	}
	if ustar || gnu {
		major, errs[5] = number(h[329:337])
		if errs[5] == nil {
			minor, errs[5] = number(h[337:345])
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("%w: header of %q: %w", ErrTar, m.name, err)
	}
	if uid > rootfs.MaxID || gid > rootfs.MaxID || major > math.MaxUint32 || minor > math.MaxUint32 {
		return nil, fmt.Errorf("%w: header of %q: number out of range", ErrTar, m.name)
	}
	m.mode, m.uid, m.gid = uint32(mode)&0o7777, uint32(uid), uint32(gid)
	m.major, m.minor = uint32(major), uint32(minor)
	prefix := ""
	switch {
	case ustar && string(h[508:512]) == "tar\x00": // star
		prefix = cString(h[345:476])
	case ustar:
		prefix = cString(h[345:500])
	}
	if prefix != "" {
		m.name = prefix + "/" + m.name
	}
	if m.flag == 'S' {
		if !gnu {
			return nil, fmt.Errorf("%w: GNU sparse file %q without a GNU header", ErrTar, m.name)
		}
		m.gnuSparse = bytes.Clone(h)
	}
	return m, nil
}

// checkSum accepts sums of signed bytes too, as everybody does.
func checkSum(h []byte) error {
	want, err := number(h[148:156])
	var sum, signed int64
	for i, c := range h {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
		signed += int64(int8(c))
	}
	if err != nil || want != sum && want != signed {
		return fmt.Errorf("%w: wrong checksum of a header", ErrTar)
	}
	return nil
}

var (
	errNegative = errors.New("negative number")
	errNumber   = errors.New("not a number")
)

// number reads a field of octal digits, or of binary when its first bit is set.
// With errNegative comes the number.
func number(f []byte) (int64, error) {
	if f[0]&0x80 != 0 {
		return binaryNumber(f)
	}
	i, n := 0, int64(0)
	for i < len(f) && f[i] == ' ' {
		i++
	}
	for ; i < len(f) && f[i] >= '0' && f[i] <= '7'; i++ {
		n = n<<3 | int64(f[i]-'0')
	}
	for ; i < len(f); i++ {
		if f[i] != 0 && f[i] != ' ' {
			return 0, errNumber
		}
	}
	return n, nil
}

// binaryNumber reads a big-endian two's complement number of 63 bits whose first
// bit is a mark.
func binaryNumber(f []byte) (int64, error) {
	inv := byte(0)
	if f[0]&0x40 != 0 {
		inv = 0xff
	}
	var n uint64
	for i, c := range f {
		c ^= inv
		if i == 0 {
			c &= 0x7f
		}
		if n>>56 > 0 {
			return 0, errNumber
		}
		n = n<<8 | uint64(c)
	}
	if n>>63 > 0 {
		return 0, errNumber
	}
	if inv == 0xff {
		return ^int64(n), errNegative
	}
	return int64(n), nil
}

// cString is the text of a field up to its NUL.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
