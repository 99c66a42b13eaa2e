package hostile

import (
	"encoding/base64"
	"encoding/binary"
	"runtime"
	"slices"
)

// ranMark is the name of what a program of an attack makes when it is run: outside,
// or, where its root is the one that was unpacked, there.
const ranMark = "a-program-of-the-image-was-run"

// helpers are the names that programs look for who decompress or unpack with
// other programs.
var helpers = []string{
	"gzip", "gunzip", "zcat", "pigz", "unpigz", "igzip", "xz", "unxz", "xzcat", "lzma", "zstd", "unzstd", "zstdcat",
	"bzip2", "bunzip2", "lbzip2", "pbzip2", "tar", "cp", "sh",
}

// planted are helpers in the tree, where a program finds them that has made the
// tree its root, or takes its PATH to be there.
func planted(p places) []byte {
	program := canaryProgram(p.outside + "/" + ranMark)
	var items []item
	for _, at := range []string{"bin", "usr/bin", "usr/local/bin", "sbin"} {
		items = append(items, dir(at))
		for _, name := range helpers {
			f := file(at+"/"+name, program)
			f.mode = 0o755
			items = append(items, f)
		}
	}
	return tarOf(items...)
}

// helpersInTree make a program decompress a layer when the one before has
// brought what looks like a decompressor.
func helpersInTree() []Fixture {
	plain := tarOf(file("etc/more", "x"))
	var list []Fixture
	for name, blob := range map[string][]byte{
		"gzip":  gzipOf(plain),
		"zstd":  zstdOf(20, stretch{plain, 0}),
		"bzip2": decoded(bzip2Layer),
		"xz":    decoded(xzLayer),
	} {
		list = append(list, Fixture{Row: 11, Name: "helper/" + name, layers: func(p places) [][]byte {
			return [][]byte{planted(p), blob}
		}})
	}
	return list
}

func decoded(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic("hostile: " + err.Error()) // a constant
	}
	return b
}

// A tar with the file etc/more, as nothing in the standard library compresses it.
const (
	bzip2Layer = "QlpoOTFBWSZTWRkefMgAADl7kOmAAEBAAPUAAEBqAp5ABAAACCAAVEKMAANA0DFTanqDTTI0ZB9cVi7EeuSDNkhvfbNwQgUe5wIIq1EDCi0gJEsbBK5fhrYb+nI0AfD7MR8LuSKcKEgMjz5kAA=="
	xzLayer    = "/Td6WFoAAAFpIt42AgAhARwAAAAQz1jM4Af/AEhdADKdCIYUltEyCTlhCo7asNUOAgEtcxYeBP4vPTcddCu/0qlB7UjEtNTenSbh/CVJK4+0QRxA0m6h+ypeXWwJDRSPhERKX2gJAADaRF8wAAFggBAAAACKPF4qPjANiwIAAAAAAVla"
)

// canaryProgram makes a program that needs nothing else: no shell, no library. It
// makes the file mark or, where there is no such directory, /ranMark.
func canaryProgram(mark string) string {
	second := "/" + ranMark
	code, machine := programCode(len(mark) + 1)
	if code == nil {
		return "#!/bin/sh\n: >'" + mark + "' || : >" + second + "\n"
	}
	const base, head = 0x10000, 64 + 56
	size := head + len(code) + len(mark) + len(second) + 2
	le := binary.LittleEndian
	b := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	b = le.AppendUint16(b, 2) // an executable
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	for _, v := range []uint64{base + head, 64, 0} { // entry, program headers, no sections
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 1, 64, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(b, 1) // load
	b = le.AppendUint32(b, 5) // to be read and executed
	for _, v := range []uint64{0, base, base, uint64(size), uint64(size), 0x1000} {
		b = le.AppendUint64(b, v)
	}
	return string(slices.Concat(b, code, []byte(mark+"\x00"+second+"\x00")))
}

// programCode makes two files whose names come after it, the second first bytes
// later, and ends: openat(AT_FDCWD, name, O_WRONLY|O_CREAT, 0644), twice, exit(0).
func programCode(first int) (code []byte, machine uint16) {
	le := binary.LittleEndian
	switch runtime.GOARCH {
	case "amd64":
		// lea rsi,[rip+d]; mov edi,-100; mov edx,0x41; mov r10d,0644; mov eax,257; syscall
		const call, exit = 30, 9
		for i := range 2 {
			code = append(code, 0x48, 0x8d, 0x35)
			code = le.AppendUint32(code, uint32((2-i)*call-7+exit+i*first))
			code = append(code, 0xbf, 0x9c, 0xff, 0xff, 0xff, 0xba, 0x41, 0, 0, 0, 0x41, 0xba, 0xa4, 1, 0, 0, 0xb8, 1, 1, 0, 0, 0x0f, 0x05)
		}
		return append(code, 0x31, 0xff, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05), 62
	case "arm64":
		// adr x1,d; mov x0,#-100; mov x2,#0x41; mov x3,#0644; mov x8,#56; svc 0
		const call, exit = 24, 12
		for i := range 2 {
			d := uint32((2-i)*call + exit + i*first)
			for _, op := range []uint32{0x10000001 | d&3<<29 | d>>2<<5, 0x92800c60, 0xd2800822, 0xd2803483, 0xd2800708, 0xd4000001} {
				code = le.AppendUint32(code, op)
			}
		}
		for _, op := range []uint32{0xd2800000, 0xd2800ba8, 0xd4000001} {
			code = le.AppendUint32(code, op)
		}
		return code, 183
	}
	return nil, 0
}
