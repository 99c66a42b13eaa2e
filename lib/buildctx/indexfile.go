package buildctx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"slices"
	"sort"

	"golang.org/x/sys/unix"
)

// The index file is a header and records, all of recordSize bytes, little
// endian, each closed by a CRC-32C:
//
//	header   magic, version, record size, number of sorted records
//	base     records sorted by (inode, device), one for each file
//	tail     records in the order they came; later ones win over all before
//
// A build appends what it learnt, so that its cost follows what changed. When
// the tail outgrows the base by a fraction the file is written anew, sorted,
// without what nobody used for long, and takes the old one's place by rename.
// It is never written in place, so a mapping of it stays what it was. Records
// are checked when they are used, not when the file is opened: opening costs the
// same for any size.
const (
	recordSize   = 80
	indexMagic   = "docksmith.index\n"
	indexVersion = 1
	// maxRecords bounds the file to 80 MiB.
	maxRecords = 1 << 20
	// minTail is the tail that never causes a rewrite.
	minTail = 4096
)

var errIndexFormat = errors.New("not a file index")

// checksum is CRC-32C. The table is made at the first use: it takes a quarter of
// a millisecond, and programs that open no index link this, too.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// indexFile is a mapped index. A nil one is empty.
type indexFile struct {
	data []byte // whole records, header included
	base int    // number of sorted records
	tail []int  // positions of the tail's records, sorted by id and then age
}

func readIndex(file string) (*indexFile, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, errIndexFormat
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := st.Size() - st.Size()%recordSize // the rest is an append that was cut
	if !st.Mode().IsRegular() || size < recordSize || size > 2*maxRecords*recordSize {
		return nil, errIndexFormat
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(data)
	if err != nil {
		unix.Munmap(data)
		return nil, err
	}
	return x, nil
}

// parseIndex takes whole records and trusts nothing in them.
func parseIndex(data []byte) (*indexFile, error) {
	if len(data) < recordSize || len(data)%recordSize != 0 {
		return nil, errIndexFormat
	}
	head := data[:recordSize]
	base := binary.LittleEndian.Uint64(head[24:])
	if !bytes.HasPrefix(head, []byte(indexMagic)) || !checked(head) ||
		binary.LittleEndian.Uint32(head[16:]) != indexVersion ||
		binary.LittleEndian.Uint32(head[20:]) != recordSize ||
		base > uint64(len(data)/recordSize-1) {
		return nil, errIndexFormat
	}
	x := &indexFile{data: data, base: int(base)}
	for i := x.base; i < x.len(); i++ {
		if checked(x.raw(i)) {
			x.tail = append(x.tail, i)
		}
	}
	slices.SortStableFunc(x.tail, func(i, j int) int { return x.id(i).compare(x.id(j)) })
	return x, nil
}

func (x *indexFile) close() error {
	if x == nil {
		return nil
	}
	return unix.Munmap(x.data)
}

func (x *indexFile) len() int { return len(x.data)/recordSize - 1 }

func (x *indexFile) raw(i int) []byte {
	return x.data[(i+1)*recordSize : (i+2)*recordSize]
}

func (x *indexFile) id(i int) fileID {
	b := x.raw(i)
	return fileID{ino: binary.LittleEndian.Uint64(b), dev: binary.LittleEndian.Uint64(b[8:])}
}

// find returns the last record of a file. Near is the place of the sorted record that
// was found before: files of one directory often follow each other.
func (x *indexFile) find(id fileID, near *int) (record, bool) {
	if x == nil {
		return record{}, false
	}
	if n := len(x.tail); n > 0 {
		i := sort.Search(n, func(i int) bool { return x.id(x.tail[i]).compare(id) > 0 })
		if i > 0 && x.id(x.tail[i-1]) == id {
			return decodeRecord(x.raw(x.tail[i-1]))
		}
	}
	if i := *near + 1; i < x.base && x.id(i) == id {
		*near = i
		return decodeRecord(x.raw(i))
	}
	lo, hi := 0, x.base
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch x.id(mid).compare(id) {
		case 0:
			*near = mid
			return decodeRecord(x.raw(mid))
		case -1:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return record{}, false
}

func decodeRecord(b []byte) (record, bool) {
	if !checked(b) {
		return record{}, false
	}
	le := binary.LittleEndian
	r := record{
		fileID: fileID{ino: le.Uint64(b), dev: le.Uint64(b[8:])},
		size:   int64(le.Uint64(b[16:])),
		mtime:  int64(le.Uint64(b[24:])),
		ctime:  int64(le.Uint64(b[32:])),
		used:   le.Uint32(b[40:]),
	}
	copy(r.sum[:], b[44:76])
	return r, true
}

func appendRecord(b []byte, r record) []byte {
	le, start := binary.LittleEndian, len(b)
	b = le.AppendUint64(b, r.ino)
	b = le.AppendUint64(b, r.dev)
	b = le.AppendUint64(b, uint64(r.size))
	b = le.AppendUint64(b, uint64(r.mtime))
	b = le.AppendUint64(b, uint64(r.ctime))
	b = le.AppendUint32(b, r.used)
	b = append(b, r.sum[:]...)
	return le.AppendUint32(b, checksum(b[start:]))
}

func appendHeader(b []byte, base int) []byte {
	le, start := binary.LittleEndian, len(b)
	b = append(b, indexMagic...)
	b = le.AppendUint32(b, indexVersion)
	b = le.AppendUint32(b, recordSize)
	b = le.AppendUint64(b, uint64(base))
	b = append(b, make([]byte, recordSize-4-(len(b)-start))...)
	return le.AppendUint32(b, checksum(b[start:]))
}

// checked reports whether a record's checksum is right.
func checked(b []byte) bool {
	return checksum(b[:recordSize-4]) == binary.LittleEndian.Uint32(b[recordSize-4:])
}
