package elf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// What a hostile file can make us read is bounded by these.
const (
	maxProgs   = 1024
	maxDynamic = 1 << 20
	maxString  = 4096
	maxNeeded  = 4096
)

// errNotELF says that a file does not begin with the ELF magic number.
var errNotELF = errors.New("not an ELF file")

// abi is what two objects must share to be loaded into one process.
type abi struct {
	Class   elf.Class
	Data    elf.Data
	Machine elf.Machine
}

func (a abi) String() string {
	bits := "32-bit"
	if a.Class == elf.ELFCLASS64 {
		bits = "64-bit"
	}
	return fmt.Sprintf("%s %s", bits, a.Machine)
}

// object is what the dynamic loader reads of a file. It comes from the program
// headers alone: section headers are for linkers, and stripped or packed
// programs lack them.
type object struct {
	abi     abi
	interp  string
	dynamic bool
	soname  string
	needed  []string
	rpath   string
	runpath string
	noDef   bool // DF_1_NODEFLIB: never search the default directories
}

// reader decodes one file; it holds what is known before the segments are.
type reader struct {
	io.ReaderAt
	order binary.ByteOrder
	wide  bool
	progs []elf.ProgHeader
}

// readObject decodes the ELF file r. Nothing it finds in the file makes it
// read more than about 6 MiB or allocate more than that.
func readObject(r io.ReaderAt) (*object, error) {
	var ident [elf.EI_NIDENT]byte
	if n, err := r.ReadAt(ident[:], 0); n < len(ident) || !bytes.HasPrefix(ident[:], []byte(elf.ELFMAG)) {
		if err != nil && err != io.EOF {
			return nil, err
		}
		return nil, errNotELF
	}
	f := &reader{ReaderAt: r}
	o := &object{abi: abi{Class: elf.Class(ident[elf.EI_CLASS]), Data: elf.Data(ident[elf.EI_DATA])}}
	switch o.abi.Class {
	case elf.ELFCLASS32:
	case elf.ELFCLASS64:
		f.wide = true
	default:
		return nil, fmt.Errorf("unknown ELF class %d", ident[elf.EI_CLASS])
	}
	switch o.abi.Data {
	case elf.ELFDATA2LSB:
		f.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		f.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("unknown ELF byte order %d", ident[elf.EI_DATA])
	}
	if err := f.header(o); err != nil {
		return nil, fmt.Errorf("read ELF header: %w", err)
	}
	for _, p := range f.progs {
		var err error
		switch p.Type {
		case elf.PT_INTERP:
			o.interp, err = f.interp(p)
		case elf.PT_DYNAMIC:
			o.dynamic = true
			err = f.dynamicSegment(o, p)
		}
		if err != nil {
			return nil, fmt.Errorf("read ELF %v: %w", p.Type, err)
		}
	}
	return o, nil
}

// at decodes a fixed-size value at off.
func (f *reader) at(off uint64, v any) error {
	if off > 1<<62 {
		return fmt.Errorf("offset %#x is outside the file", off)
	}
	return binary.Read(io.NewSectionReader(f, int64(off), int64(binary.Size(v))), f.order, v)
}

// header reads the machine and the program headers.
func (f *reader) header(o *object) error {
	var off uint64
	var size, count, machine uint16
	if f.wide {
		var h elf.Header64
		if err := f.at(0, &h); err != nil {
			return err
		}
		off, size, count, machine = h.Phoff, h.Phentsize, h.Phnum, h.Machine
	} else {
		var h elf.Header32
		if err := f.at(0, &h); err != nil {
			return err
		}
		off, size, count, machine = uint64(h.Phoff), h.Phentsize, h.Phnum, h.Machine
	}
	o.abi.Machine = elf.Machine(machine)
	if count > maxProgs {
		return fmt.Errorf("%d program headers, at most %d are read", count, maxProgs)
	}
	for i := range uint64(count) {
		p, err := f.prog(off + i*uint64(size))
		if err != nil {
			return err
		}
		f.progs = append(f.progs, p)
	}
	return nil
}

func (f *reader) prog(off uint64) (elf.ProgHeader, error) {
	if f.wide {
		var p elf.Prog64
		err := f.at(off, &p)
		return elf.ProgHeader{Type: elf.ProgType(p.Type), Off: p.Off, Vaddr: p.Vaddr, Filesz: p.Filesz}, err
	}
	var p elf.Prog32
	err := f.at(off, &p)
	return elf.ProgHeader{Type: elf.ProgType(p.Type), Off: uint64(p.Off), Vaddr: uint64(p.Vaddr), Filesz: uint64(p.Filesz)}, err
}

func (f *reader) interp(p elf.ProgHeader) (string, error) {
	if p.Filesz > maxString {
		return "", fmt.Errorf("interpreter name of %d bytes", p.Filesz)
	}
	return f.text(p.Off)
}

// text reads the NUL-terminated string at off.
func (f *reader) text(off uint64) (string, error) {
	if off > 1<<62 {
		return "", fmt.Errorf("string at %#x is outside the file", off)
	}
	buf := make([]byte, maxString)
	n, err := f.ReadAt(buf, int64(off))
	if err != nil && err != io.EOF {
		return "", err
	}
	end := bytes.IndexByte(buf[:n], 0)
	if end < 0 {
		return "", fmt.Errorf("string at %#x does not end", off)
	}
	return string(buf[:end]), nil
}

// dynamicSegment reads the tags that decide what is loaded, and from where.
func (f *reader) dynamicSegment(o *object, p elf.ProgHeader) error {
	tags, err := f.tags(p)
	if err != nil {
		return err
	}
	var strtab uint64
	for _, t := range tags {
		if elf.DynTag(t.Tag) == elf.DT_STRTAB {
			if strtab, err = f.offset(t.Val); err != nil {
				return err
			}
		}
	}
	for _, t := range tags {
		var s string
		switch elf.DynTag(t.Tag) {
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH:
			if s, err = f.text(strtab + t.Val); err != nil {
				return err
			}
		}
		switch elf.DynTag(t.Tag) {
		case elf.DT_NEEDED:
			o.needed = append(o.needed, s)
		case elf.DT_SONAME:
			o.soname = s
		case elf.DT_RPATH:
			o.rpath = s
		case elf.DT_RUNPATH:
			o.runpath = s
		case elf.DT_FLAGS_1:
			o.noDef = elf.DynFlag1(t.Val)&elf.DF_1_NODEFLIB != 0
		}
		if len(o.needed) > maxNeeded {
			return fmt.Errorf("more than %d needed libraries", maxNeeded)
		}
	}
	return nil
}

// tags decodes the dynamic segment up to its end mark.
func (f *reader) tags(p elf.ProgHeader) ([]elf.Dyn64, error) {
	if p.Filesz > maxDynamic {
		return nil, fmt.Errorf("segment of %d bytes", p.Filesz)
	}
	step := uint64(8)
	if f.wide {
		step = 16
	}
	var tags []elf.Dyn64
	for off := uint64(0); off+step <= p.Filesz; off += step {
		var t elf.Dyn64
		if f.wide {
			if err := f.at(p.Off+off, &t); err != nil {
				return nil, err
			}
		} else {
			var n elf.Dyn32
			if err := f.at(p.Off+off, &n); err != nil {
				return nil, err
			}
			t = elf.Dyn64{Tag: int64(n.Tag), Val: uint64(n.Val)}
		}
		if elf.DynTag(t.Tag) == elf.DT_NULL {
			break
		}
		tags = append(tags, t)
	}
	return tags, nil
}

// offset turns an address in memory into an offset in the file.
func (f *reader) offset(addr uint64) (uint64, error) {
	for _, p := range f.progs {
		if p.Type == elf.PT_LOAD && addr >= p.Vaddr && addr-p.Vaddr < p.Filesz {
			return p.Off + (addr - p.Vaddr), nil
		}
	}
	return 0, fmt.Errorf("address %#x is in no segment", addr)
}
