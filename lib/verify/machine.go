package verify

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// machine compares the platform in a config with the machine for which the
// programs are that a command finds: those in the directories of PATH, and the one
// that the image starts. Others may be for anything: firmware, or what a cross
// compiler made.
type machine struct {
	platform oci.Platform
	known    []elfKind // that the platform runs; none: not known here
	dirs     []string
	program  string

	wrong string // the first that is for another
	kind  elfKind
	more  int
}

// elfKind is what the first bytes of an ELF file say of its machine.
type elfKind struct {
	machine elf.Machine
	data    elf.Data
}

func little(m ...elf.Machine) (list []elfKind) {
	for _, m := range m {
		list = append(list, elfKind{m, elf.ELFDATA2LSB})
	}
	return list
}

// runs lists what a kernel for an architecture runs, also of an older one.
var runs = map[string][]elfKind{
	"386":      little(elf.EM_386),
	"amd64":    little(elf.EM_X86_64, elf.EM_386),
	"arm":      little(elf.EM_ARM),
	"arm64":    little(elf.EM_AARCH64, elf.EM_ARM),
	"loong64":  little(elf.EM_LOONGARCH),
	"mips64le": little(elf.EM_MIPS),
	"mipsle":   little(elf.EM_MIPS),
	"ppc64le":  little(elf.EM_PPC64),
	"riscv64":  little(elf.EM_RISCV),
	"s390x":    {{elf.EM_S390, elf.ELFDATA2MSB}},
}

const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func newMachine(c oci.Image) *machine {
	m := &machine{platform: c.Platform, dirs: strings.Split(usualPath, ":")}
	if c.OS == "linux" {
		m.known = runs[c.Architecture]
	}
	for _, v := range c.Config.Env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			m.dirs = append(m.dirs, strings.Split(p, ":")...)
		}
	}
	if command := c.Config.Command(); len(command) > 0 {
		m.program = path.Join("/", c.Config.WorkingDir, command[0])
		if path.IsAbs(command[0]) {
			m.program = path.Clean(command[0])
		}
	}
	return m
}

// asks says whether the machine of an entry matters.
func (m *machine) asks(e *layer.Entry) bool {
	if m == nil || m.known == nil || e.Type != layer.TypeFile || e.Mode&0o111 == 0 {
		return false
	}
	name := "/" + e.Path
	return name == m.program || slices.Contains(m.dirs, path.Dir(name))
}

// elfHead is as much of an ELF file as tells its machine.
const elfHead = 20

// look reads the first bytes of a program.
func (m *machine) look(e *layer.Entry, head []byte) {
	if len(head) < elfHead || string(head[:4]) != elf.ELFMAG {
		return
	}
	k := elfKind{data: elf.Data(head[elf.EI_DATA])}
	order := binary.ByteOrder(binary.LittleEndian)
	if k.data == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	k.machine = elf.Machine(order.Uint16(head[18:]))
	if slices.Contains(m.known, k) {
		return
	}
	if m.wrong == "" {
		m.wrong, m.kind = e.Path, k
	} else {
		m.more++
	}
}

func (m *machine) problem() string {
	if m.wrong == "" {
		return ""
	}
	others := ""
	if m.more > 0 {
		others = fmt.Sprintf(", and %d more programs are for another", m.more)
	}
	return fmt.Sprintf("the platform is %s, and %q is for %s%s", oci.PlatformString(m.platform), m.wrong, m.kind.machine, others)
}
