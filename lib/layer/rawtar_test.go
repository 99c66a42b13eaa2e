package layer

import (
	"bytes"
	"fmt"
	"strings"
)

// member of a tar that a test writes, good or bad. Whatever is set is written as it is.
type rawMember struct {
	flag       byte // default '0'
	name, link string
	mode       int64 // default 0644
	uid, gid   int
	size       string // default: the length of data, in octal
	mtime      int64
	major      int64
	minor      int64
	data       string
	pax        []string // "key=value"
	magic      string   // default "ustar\x0000"
	edit       func(h []byte)
}

// rawTar writes members and, unless cut is set, the end mark.
func rawTar(members ...rawMember) []byte {
	var b bytes.Buffer
	for _, m := range members {
		b.Write(rawBytes(m))
	}
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

func rawBytes(m rawMember) []byte {
	var b bytes.Buffer
	if len(m.pax) > 0 {
		b.Write(rawBytes(rawMember{flag: 'x', name: "pax", data: paxText(m.pax)}))
	}
	h := make([]byte, 512)
	if m.flag == 0 {
		m.flag = '0'
	}
	if m.mode == 0 {
		m.mode = 0o644
	}
	if m.size == "" {
		m.size = fmt.Sprintf("%011o", len(m.data))
	}
	if m.magic == "" {
		m.magic = "ustar\x0000"
	}
	copy(h[0:100], m.name)
	copy(h[100:], fmt.Sprintf("%07o", m.mode))
	copy(h[108:], fmt.Sprintf("%07o", m.uid))
	copy(h[116:], fmt.Sprintf("%07o", m.gid))
	copy(h[124:136], m.size)
	copy(h[136:], fmt.Sprintf("%011o", m.mtime))
	h[156] = m.flag
	copy(h[157:257], m.link)
	copy(h[257:], m.magic)
	copy(h[329:], fmt.Sprintf("%07o", m.major))
	copy(h[337:], fmt.Sprintf("%07o", m.minor))
	if m.edit != nil {
		m.edit(h)
	}
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	b.Write(h)
	b.WriteString(m.data)
	b.Write(make([]byte, -len(m.data)&511))
	return b.Bytes()
}

func paxText(records []string) string {
	var s strings.Builder
	for _, r := range records {
		n := len(r) + 3
		for len(fmt.Sprint(n))+len(r)+2 != n {
			n++
		}
		fmt.Fprintf(&s, "%d %s\n", n, r)
	}
	return s.String()
}

// Short forms.
func tFile(name, data string) rawMember { return rawMember{name: name, data: data} }
func tDir(name string) rawMember        { return rawMember{name: name + "/", flag: '5', mode: 0o755} }
func tLink(name, to string) rawMember   { return rawMember{name: name, link: to, flag: '1'} }
func tSym(name, to string) rawMember    { return rawMember{name: name, link: to, flag: '2', mode: 0o777} }
