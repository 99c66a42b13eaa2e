package hostile

import (
	"bytes"
	"fmt"
	"strings"
)

// item is an entry of a tar as it is written, sense or not.
type item struct {
	name, link string
	kind       byte // a tar type flag; 0 is a regular file
	mode       int64
	content    string
	xattrs     []string // name=value
	pax        []string // more records, key=value
	size       int      // what the header says of the size, if not the truth
}

func file(name, content string) item { return item{name: name, content: content} }
func dir(name string) item           { return item{name: name + "/", kind: '5', mode: 0o777} }
func symlink(name, to string) item   { return item{name: name, link: to, kind: '2', mode: 0o777} }
func hardlink(name, to string) item  { return item{name: name, link: to, kind: '1'} }

const (
	block    = 512
	itemTime = 1000000000 // of all entries
)

// tarOf writes items without asking whether anybody should.
func tarOf(items ...item) []byte {
	var b bytes.Buffer
	for _, it := range items {
		it.write(&b)
	}
	b.Write(make([]byte, 2*block))
	return b.Bytes()
}

func (it item) write(b *bytes.Buffer) {
	pax := it.pax
	for _, x := range it.xattrs {
		pax = append(pax, "SCHILY.xattr."+x)
	}
	if len(it.name) > 100 {
		pax = append(pax, "path="+it.name)
	}
	if len(it.link) > 100 {
		pax = append(pax, "linkpath="+it.link)
	}
	if len(pax) > 0 {
		var records strings.Builder
		for _, p := range pax {
			records.WriteString(record(p))
		}
		write(b, item{name: "PaxHeader", kind: 'x', content: records.String()})
	}
	write(b, it)
}

// record is a PAX record, whose length counts itself.
func record(s string) string {
	n := len(s) + 3
	for n != len(fmt.Sprintf("%d %s\n", n, s)) {
		n++
	}
	return fmt.Sprintf("%d %s\n", n, s)
}

func write(b *bytes.Buffer, it item) {
	h := make([]byte, block)
	mode := it.mode
	if mode == 0 {
		mode = 0o644
	}
	size := len(it.content)
	if it.size != 0 {
		size = it.size
	}
	copy(h[0:100], it.name)
	copy(h[100:], fmt.Sprintf("%07o\x00%07o\x00%07o\x00%011o\x00%011o\x00", mode, 0, 0, size, itemTime))
	h[156] = it.kind
	if it.kind == 0 {
		h[156] = '0'
	}
	copy(h[157:257], it.link)
	copy(h[257:], "ustar\x0000")
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	b.Write(h)
	b.WriteString(it.content)
	b.Write(make([]byte, -len(it.content)&(block-1)))
}
