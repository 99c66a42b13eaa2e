package layer

import (
	"fmt"
	"strconv"
	"strings"
)

// extent is a part of a sparse file that has data.
type extent struct{ off, len int64 }

func (e extent) end() int64 { return e.off + e.len }

// maxExtents bounds a sparse map.
const maxExtents = 1 << 16

// setSparse reads the map of a sparse file, in whichever of GNU's forms it is.
func (r *Reader) setSparse(m *member) error {
	var list []extent
	var size int64
	var err error
	switch {
	case m.gnuSparse != nil:
		list, size, err = r.oldSparse(m.gnuSparse)
	case m.pax != nil && m.pax.sparse != nil:
		list, size, err = r.paxSparse(m)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	var pos, sum int64
	for _, e := range list {
		if e.off < pos || e.len < 0 || e.end() < e.off || e.end() > size {
			return fmt.Errorf("%w: bad sparse map", ErrTar)
		}
		pos = e.end()
		sum += e.len
	}
	if sum != r.data {
		return fmt.Errorf("%w: a sparse map of %d bytes over %d", ErrTar, sum, r.data)
	}
	r.size = size
	if r.sparse = list; list == nil {
		r.sparse = []extent{}
	}
	return nil
}

// oldSparse reads the map in a GNU header and in the blocks after it.
func (r *Reader) oldSparse(h []byte) ([]extent, int64, error) {
	size, err := number(h[483:495])
	if err != nil {
		return nil, 0, fmt.Errorf("%w: sparse size: %w", ErrTar, err)
	}
	var list []extent
	table, more := h[386:482], h[482]
	for {
		for ; len(table) >= 24 && table[0] != 0; table = table[24:] {
			off, err1 := number(table[:12])
			n, err2 := number(table[12:24])
			if err1 != nil || err2 != nil || len(list) == maxExtents {
				return nil, 0, fmt.Errorf("%w: bad sparse map", ErrTar)
			}
			list = append(list, extent{off, n})
		}
		if more == 0 {
			return list, size, nil
		}
		b, err := r.src.next()
		if err != nil {
			return nil, 0, noEOF(err)
		}
		table, more = b[:504], b[504]
	}
}

// paxSparse reads versions 0.1, with the map in a record, and 1.0, with the map
// before the content. 0.0 repeats records, which only its own author reads safely.
func (r *Reader) paxSparse(m *member) ([]extent, int64, error) {
	s := m.pax.sparse
	version := s["major"] + "." + s["minor"]
	sizeKey := "realsize"
	if version != "1.0" {
		sizeKey = "size"
	}
	_, hasMap := s["map"]
	if version != "1.0" && !(hasMap && (version == "0.1" || version == ".")) {
		return nil, 0, fmt.Errorf("%w: sparse file of unknown version %q", ErrTar, version)
	}
	size, err := decimal(sparseRecord+sizeKey, s[sizeKey], 1<<62)
	if err != nil {
		return nil, 0, err
	}
	var list []extent
	if version == "1.0" {
		list, err = r.mapInContent()
	} else {
		list, err = mapInRecord(s["map"], s["numblocks"])
	}
	return list, *size, err
}

func mapInRecord(text, count string) ([]extent, error) {
	if text == "" && (count == "0" || count == "") {
		return nil, nil
	}
	nums := strings.Split(text, ",")
	if strconv.Itoa(len(nums)/2) != count || len(nums)%2 != 0 || len(nums)/2 > maxExtents {
		return nil, fmt.Errorf("%w: bad sparse map", ErrTar)
	}
	return pairs(nums)
}

// mapInContent reads lines of decimal numbers, the first being the number of
// pairs, from whole blocks at the beginning of the content.
func (r *Reader) mapInContent() ([]extent, error) {
	var text []byte
	var nums []string
	want := 1
	for len(nums) < want {
		if r.data < blockSize {
			return nil, fmt.Errorf("%w: bad sparse map", ErrTar)
		}
		b, err := r.src.next()
		if err != nil {
			return nil, noEOF(err)
		}
		r.data -= blockSize
		text = append(text, b...)
		for len(nums) < want {
			line, _, ok := strings.Cut(string(text[:min(len(text), 24)]), "\n")
			if !ok {
				if len(text) >= 24 {
					return nil, fmt.Errorf("%w: bad sparse map", ErrTar)
				}
				break
			}
			text = text[len(line)+1:]
			nums = append(nums, line)
			if len(nums) == 1 {
				n, err := strconv.Atoi(line)
				if err != nil || !isDigits(line) || n > maxExtents {
					return nil, fmt.Errorf("%w: bad sparse map", ErrTar)
				}
				want = 1 + 2*n
			}
		}
	}
	return pairs(nums[1:])
}

func pairs(nums []string) ([]extent, error) {
	list := make([]extent, 0, len(nums)/2)
	for i := 0; i < len(nums); i += 2 {
		off, err := decimal("sparse offset", nums[i], 1<<62)
		if err != nil {
			return nil, err
		}
		n, err := decimal("sparse length", nums[i+1], 1<<62)
		if err != nil {
			return nil, err
		}
		list = append(list, extent{*off, *n})
	}
	return list, nil
}
