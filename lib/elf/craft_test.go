package elf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// spec describes an ELF file to be made for a test.
type spec struct {
	class                          elf.Class
	order                          binary.ByteOrder
	machine                        elf.Machine
	interp, soname, rpath, runpath string
	needed                         []string
	flags1                         uint64
}

// build writes a file that has program headers and nothing else.
func (s spec) build() []byte {
	if s.class == 0 {
		s.class = elf.ELFCLASS64
	}
	if s.order == nil {
		s.order = binary.LittleEndian
	}
	if s.machine == 0 {
		s.machine = elf.EM_X86_64
	}
	strtab := []byte{0}
	str := func(v string) uint64 {
		off := len(strtab)
		strtab = append(append(strtab, v...), 0)
		return uint64(off)
	}
	var dyn []elf.Dyn64
	tag := func(t elf.DynTag, v uint64) { dyn = append(dyn, elf.Dyn64{Tag: int64(t), Val: v}) }
	for _, n := range s.needed {
		tag(elf.DT_NEEDED, str(n))
	}
	for t, v := range map[elf.DynTag]string{elf.DT_SONAME: s.soname, elf.DT_RPATH: s.rpath, elf.DT_RUNPATH: s.runpath} {
		if v != "" {
			tag(t, str(v))
		}
	}
	if s.flags1 != 0 {
		tag(elf.DT_FLAGS_1, s.flags1)
	}
	interp := str(s.interp)
	const base, strOff, dynOff = 0x10000, 1024, 16384
	tag(elf.DT_STRTAB, base+strOff)
	tag(elf.DT_NULL, 0)
	progs := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Vaddr: base, Filesz: 1 << 16},
		{Type: uint32(elf.PT_DYNAMIC), Off: dynOff, Vaddr: base + dynOff},
	}
	if s.interp != "" {
		progs = append(progs, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: strOff + interp, Filesz: uint64(len(s.interp) + 1)})
	}
	return s.encode(progs, dyn, strtab, strOff, dynOff)
}

func (s spec) encode(progs []elf.Prog64, dyn []elf.Dyn64, strtab []byte, strOff, dynOff int) []byte {
	out := make([]byte, 1<<16)
	put := func(off int, v any) int {
		var b bytes.Buffer
		if err := binary.Write(&b, s.order, v); err != nil {
			panic(err)
		}
		return off + copy(out[off:], b.Bytes())
	}
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(s.class), byte(elf.ELFDATA2LSB), 1}
	if s.order == binary.BigEndian {
		ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	copy(out[strOff:], strtab)
	if s.class == elf.ELFCLASS64 {
		off := put(0, elf.Header64{Ident: ident, Machine: uint16(s.machine), Phoff: 64, Phentsize: 56, Phnum: uint16(len(progs))})
		end := dynOff
		for _, d := range dyn {
			end = put(end, d)
		}
		for _, p := range progs {
			if p.Off == uint64(dynOff) {
				p.Filesz = uint64(end - dynOff)
			}
			off = put(off, p)
		}
		return out
	}
	off := put(0, elf.Header32{Ident: ident, Machine: uint16(s.machine), Phoff: 52, Phentsize: 32, Phnum: uint16(len(progs))})
	end := dynOff
	for _, d := range dyn {
		end = put(end, elf.Dyn32{Tag: int32(d.Tag), Val: uint32(d.Val)})
	}
	for _, p := range progs {
		if p.Off == uint64(dynOff) {
			p.Filesz = uint64(end - dynOff)
		}
		off = put(off, elf.Prog32{Type: p.Type, Off: uint32(p.Off), Vaddr: uint32(p.Vaddr), Filesz: uint32(p.Filesz)})
	}
	return out
}

// makeRoot makes a root directory: "->" before a value makes a link, anything
// else is a file with the execute bit.
func makeRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, body := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(body, "->"); ok {
			err = os.Symlink(target, full)
		} else {
			err = os.WriteFile(full, []byte(body), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func bin(s spec) string { return string(s.build()) }
